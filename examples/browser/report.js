// What the page says of one answer of the network.

import { mutualInformation } from "./probabilities.js";

const LITTLE = 0.01;

export const percent = (p) => `${(100 * p).toFixed(1)}\u00a0%`;
export const count = (n, noun) => `${n} ${noun}${n === 1 ? "" : "s"}`;
export const largest = (numbers) => numbers.indexOf(Math.max(...numbers));

/** Return the class of each sample. */
export const votes = ({ each }) => each.map(largest);

/** Return the smallest and the largest probability that a class has in the samples. */
export const spread = ({ each }, k) => {
  const found = each.map((sample) => sample[k]);
  return [Math.min(...found), Math.max(...found)];
};

/** Return the answer in one sentence. */
export function verdict({ onePass, samples }, classes) {
  const [alone, together] = [largest(onePass.probabilities), largest(samples.mean)];
  const p = [onePass.probabilities[alone], samples.mean[together]].map(percent);
  if (alone === together) {
    return `This is ${classes[alone]}: ${p[0]} in one pass, ${p[1]} in ten samples.`;
  }
  const ensemble = `${classes[together]} in ten samples (${p[1]})`;
  return `This is ${classes[alone]} in one pass (${p[0]}), ${ensemble}.`;
}

/** Return in words what the samples disagree on. */
export function disagreement({ samples }, classes) {
  const counts = new Map();
  for (const vote of votes(samples)) counts.set(vote, (counts.get(vote) ?? 0) + 1);
  const ordered = [...counts].sort(([, a], [, b]) => b - a);
  const said = ordered.map(([k, n]) => `${count(n, "sample")} for ${classes[k]}`).join(", ");
  const nats = mutualInformation(samples.each).toFixed(3);
  return `${said}. ${mostDifferent(samples, classes)} Mutual information of digit and noise: ${nats} nats.`;
}

function mostDifferent(samples, classes) {
  const ranges = classes.map((name, k) => ({ name, range: spread(samples, k) }));
  const width = ({ range: [low, high] }) => high - low;
  const [first, second] = ranges.sort((a, b) => width(b) - width(a));
  if (width(first) < LITTLE) return "No probability differs by more than 1\u00a0%.";
  const words = ({ name, range }) => `${name} (${range.map(percent).join(" to ")})`;
  return `They differ most on ${words(first)} and ${words(second)}.`;
}

/** Return the median time of passes in milliseconds. */
export function median(times) {
  const ordered = [...times].sort((a, b) => a - b);
  return (ordered[(ordered.length - 1) >> 1] + ordered[ordered.length >> 1]) / 2;
}
