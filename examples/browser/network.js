// A stochastic classifier of bnnkit in ONNX Runtime Web: one pass, and samples of its noise.

import * as ort from "./ort.wasm.bundle.min.mjs";
import { metadata, withRequiredInputs } from "./model_file.js";
import { mean, softmax } from "./probabilities.js";

ort.env.wasm.numThreads = 1; // more need a server that isolates the page (COOP, COEP)

/** What one number of the sampling inputs means: docs/artifact.md, "Sampling". */
const sampling = (sample, seed) => ({
  sample: new ort.Tensor("int64", BigInt64Array.of(BigInt(sample)), []),
  seed: new ort.Tensor("uint64", BigUint64Array.of(BigInt(seed)), []),
  image_offset: new ort.Tensor("int64", BigInt64Array.of(0n), []),
  antithetic: new ort.Tensor("bool", Uint8Array.of(0), []),
});
const WITHOUT_NOISE = -1;

/** Return the names of the classes; numbers if the file has no names. */
function namesOfClasses(count, about) {
  const names = JSON.parse(about.classes ?? "[]");
  return names.length === count ? names : Array.from({ length: count }, (_, k) => String(k));
}

export class Network {
  /** Open a model file, a Uint8Array. */
  static async open(file) {
    const session = await ort.InferenceSession.create(withRequiredInputs(file));
    return new Network(session, metadata(file));
  }

  constructor(session, about) {
    this.session = session;
    this.about = about;
    this.input = JSON.parse(about.input);
    this.classes = namesOfClasses(session.outputMetadata[0].shape.at(-1), about);
    this.isStochastic = session.inputNames.includes("sample");
    this.shape = [1, ...this.input.shape];
  }

  /** Run one image, a Uint8Array; return all outputs by name, typed arrays. */
  async outputs(image, sample = WITHOUT_NOISE, seed = 0) {
    const feeds = { [this.input.name]: new ort.Tensor("uint8", image, this.shape) };
    const found = await this.session.run(
      this.isStochastic ? { ...feeds, ...sampling(sample, seed) } : feeds,
    );
    return Object.fromEntries(Object.entries(found).map(([name, value]) => [name, value.data]));
  }

  /** Return the class probabilities of one pass, a Float32Array; without a sample, no noise. */
  async probabilities(image, sample, seed) {
    return softmax((await this.outputs(image, sample, seed))[this.session.outputNames[0]]);
  }

  /** Return the probabilities of the samples 0 to `samples` - 1 of a seed, and the milliseconds. */
  async samples(image, samples, seed) {
    const start = performance.now();
    const each = [];
    for (let k = 0; k < samples; k++) each.push(await this.probabilities(image, k, seed));
    return { each, mean: Float32Array.from(mean(each)), ms: performance.now() - start };
  }

  /** Return the probabilities of the pass without noise, and the milliseconds. */
  async onePass(image) {
    const start = performance.now();
    const probabilities = await this.probabilities(image);
    return { probabilities, ms: performance.now() - start };
  }
}
