// The page: a drawing or a sample digit goes to the network, and its answer into the page.

import { DIGITS, strokesOf } from "./digits.js";
import { Drawing, SIZE, pixelsOf } from "./drawing.js";
import { Network } from "./network.js";
import { count, disagreement, largest, median, percent, spread, verdict, votes } from "./report.js";

const SAMPLES = 10;
const at = (id) => document.getElementById(id);
const times = { onePass: [], samples: [] };
let network;
let drawing;
let seed = 0;
let running = Promise.resolve();

/** The last answer, for the tests: what went into the network and what came out. */
export let answer;

async function start() {
  const response = await fetch("model.onnx");
  if (!response.ok) throw new Error(`there is no model.onnx (status ${response.status})`);
  const file = new Uint8Array(await response.arrayBuffer());
  network = await Network.open(file);
  if (String(network.shape) !== `1,1,${SIZE},${SIZE}` || network.input.dtype !== "uint8") {
    throw new Error(`expected a network of MNIST images, got inputs of ${network.shape}`);
  }
  if (!network.isStochastic) throw new Error("expected a network with noise (--mode samples)");
  await classified(new Uint8Array(SIZE * SIZE)); // the first pass is slow; it is not timed
  at("size").textContent = `${Math.round(file.length / 1000)} kB`;
  drawing = new Drawing(at("pad"), classify);
  for (const digit of DIGITS) at("digits").append(sampleButton(digit));
  at("clear").addEventListener("click", () => drawing.set([]));
  at("again").addEventListener("click", () => {
    seed += 1;
    classify();
  });
  at("status").textContent = "Draw a digit, or choose one.";
  document.body.dataset.state = "ready";
}

function sampleButton({ name, path }) {
  const button = document.createElement("button");
  button.type = "button";
  button.ariaLabel = `Digit ${name}`;
  button.innerHTML = `<svg viewBox="0 0 100 100" aria-hidden="true"><path d="${path}"/></svg>`;
  button.addEventListener("click", () => drawing.set(strokesOf(path)));
  return button;
}

/** Classify what is drawn now, after what is running. */
function classify() {
  running = running.then(show).catch(fail);
}

async function show() {
  if (!drawing.strokes.length) {
    at("answer").hidden = true;
    at("status").textContent = "Draw a digit, or choose one.";
    answer = undefined;
    return;
  }
  const pixels = pixelsOf(drawing.strokes);
  const found = { pixels, seed, ...(await classified(pixels)) };
  times.onePass.push(found.onePass.ms);
  times.samples.push(found.samples.ms);
  at("status").textContent = verdict(found, network.classes);
  at("disagreement").textContent = disagreement(found, network.classes);
  at("votes").replaceChildren(...voteItems(found));
  at("rows").replaceChildren(...network.classes.map((name, k) => row(found, name, k)));
  at("latency").textContent = latency();
  at("seed").textContent = seed;
  showSeen(pixels);
  at("answer").hidden = false;
  answer = found;
}

async function classified(pixels) {
  const onePass = await network.onePass(pixels);
  return { onePass, samples: await network.samples(pixels, SAMPLES, seed) };
}

function latency() {
  const [one, ten] = [times.onePass, times.samples].map((found) => median(found).toFixed(1));
  const of = count(times.onePass.length, "answer");
  return `One pass takes ${one} ms, ten samples ${ten} ms (median of ${of} in this page).`;
}

function voteItems({ onePass, samples }) {
  const alone = largest(onePass.probabilities);
  return votes(samples).map((vote) => {
    const item = document.createElement("li");
    item.textContent = network.classes[vote];
    item.classList.toggle("other", vote !== alone);
    return item;
  });
}

function row({ onePass, samples }, name, k) {
  const line = document.createElement("tr");
  const head = document.createElement("th");
  head.scope = "row";
  head.textContent = name;
  line.append(head, bar(onePass.probabilities[k]), bar(samples.mean[k]), strip(samples, k));
  return line;
}

function bar(p) {
  const cell = document.createElement("td");
  cell.className = "bar";
  cell.style.setProperty("--p", p);
  cell.textContent = percent(p);
  return cell;
}

function strip(samples, k) {
  const cell = document.createElement("td");
  const [low, high] = spread(samples, k);
  const marks = samples.each.map((sample) => {
    const x = (4 + 192 * sample[k]).toFixed(1);
    return `<path d="M${x} 2V18"/>`;
  });
  const label = `from ${percent(low)} to ${percent(high)}`;
  cell.innerHTML = `<svg class="strip" viewBox="0 0 200 20" preserveAspectRatio="none"
    role="img" aria-label="${label}"><title>${label}</title>${marks.join("")}</svg>`;
  return cell;
}

function showSeen(pixels) {
  const image = new ImageData(SIZE, SIZE);
  pixels.forEach((value, k) => image.data.set([value, value, value, 255], 4 * k));
  at("seen").getContext("2d").putImageData(image, 0, 0);
}

function fail(error) {
  document.body.dataset.state = "failed";
  at("status").textContent = `This does not work here: ${error.message}`;
  console.error(error);
}

start().catch(fail);
