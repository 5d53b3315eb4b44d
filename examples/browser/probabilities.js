// Class probabilities from scores, with the bits of bnnkit's `predict` for the same scores.
//
// docs/artifact.md, "Probabilities", is the definition: float32 operations, each rounded once.
// Math.fround(a + b) of two float32 numbers is rounded once too, because JavaScript's float64
// holds a product of two exactly, and more than twice the digits of a sum or quotient. Math.exp
// would differ between browsers.

const f = Math.fround;
const LOG2_E = 0x1715476 / 2 ** 24; // 0x1.715476p+0
const LN2_HIGH = 0x162e4 / 2 ** 17; // 0x1.62e4p-1
const LN2_LOW = 0x17f7d1c / 2 ** 44; // 0x1.7f7d1cp-20
const COEFFICIENTS = [
  0x16ac74e / 2 ** 34, // 0x1.6ac74ep-10
  0x1123de0 / 2 ** 31, // 0x1.123de0p-7
  0x1555858 / 2 ** 29, // 0x1.555858p-5
  0x155548c / 2 ** 27, // 0x1.55548cp-3
  0x1fffffc / 2 ** 26, // 0x1.fffffcp-2
];
const ROUNDER = 1.5 * 2 ** 23; // adding it rounds to an integer, in the lowest bits
const MANTISSA_BITS = 23;
const SMALLEST = -87;
const LARGEST = 0x162e42e / 2 ** 18; // 0x1.62e42ep+6

const real = new Float32Array(1);
const bits = new Int32Array(real.buffer);
const bitsOf = (x) => ((real[0] = x), bits[0]);
const fromBits = (pattern) => ((bits[0] = pattern), real[0]);

/** Return exp(x), float32. */
export function exponential(x) {
  if (x < SMALLEST) return 0;
  if (x > LARGEST) return Infinity;
  if (Number.isNaN(x)) return x;
  const shifted = f(f(x * LOG2_E) + ROUNDER);
  const n = f(shifted - ROUNDER);
  const r = f(f(x - f(n * LN2_HIGH)) - f(n * LN2_LOW));
  const polynomial = COEFFICIENTS.reduce((sum, coefficient) => f(f(sum * r) + coefficient));
  const power = f(f(f(polynomial * f(r * r)) + r) + 1);
  return fromBits(bitsOf(power) + (bitsOf(shifted) << MANTISSA_BITS)); // power * 2^n
}

/** Return the softmax of the scores of one image, a Float32Array. */
export function softmax(scores) {
  const largest = Math.max(...scores);
  const powers = Float32Array.from(scores, (score) => exponential(f(score - largest)));
  const sums = [0, 0, 0, 0];
  powers.forEach((power, k) => (sums[k % 4] += power));
  const total = f(sums[0] + sums[1] + (sums[2] + sums[3]));
  return powers.map((power) => power / total); // a Float32Array rounds what it holds
}

/** Return the mean of the probabilities of samples, in float64, added in their order. */
export function mean(samples) {
  const total = new Float64Array(samples[0].length);
  for (const sample of samples) sample.forEach((p, k) => (total[k] += p));
  return total.map((sum) => sum / samples.length);
}

/** Return the entropy of probabilities in nats. */
export function entropy(probabilities) {
  return -probabilities.reduce((sum, p) => sum + (p > 0 ? p * Math.log(p) : 0), 0);
}

/** Return the part of the entropy of the mean that is due to sampling, in nats. */
export function mutualInformation(samples) {
  const own = samples.reduce((sum, sample) => sum + entropy(Array.from(sample)), 0);
  return Math.max(entropy(mean(samples)) - own / samples.length, 0);
}
