// Runs a model file in the demo's page, in Chromium, and prints all its outputs in base64 as JSON.
// node run_samples.mjs PACKAGES CHROMIUM URL RUNS
//
// The folder at URL has the demo, signs.onnx and images.bin, whose images follow each other. RUNS
// is JSON: a list of [image, sample, seed], the seed as a string, because it may have 64 bits.

import { createRequire } from "node:module";

const [packages, executablePath, url, runs] = process.argv.slice(2);
const { chromium } = createRequire(`${packages}/`)("playwright-core");

const browser = await chromium.launch({ executablePath });
const page = await browser.newPage();
await page.goto(url);
const outputs = await page.evaluate(async (list) => {
  const { Network } = await import("./network.js");
  const bytes = async (name) => new Uint8Array(await (await fetch(name)).arrayBuffer());
  const network = await Network.open(await bytes("signs.onnx"));
  const images = await bytes("images.bin");
  const size = network.shape.reduce((product, n) => product * n);
  const base64 = (data) => {
    const view = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    return btoa(Array.from(view, (byte) => String.fromCharCode(byte)).join(""));
  };
  const found = [];
  for (const [image, sample, seed] of list) {
    const pixels = images.slice(image * size, (image + 1) * size);
    const values = await network.outputs(pixels, sample, seed);
    found.push(Object.fromEntries(Object.entries(values).map(([k, v]) => [k, base64(v)])));
  }
  return found;
}, JSON.parse(runs));
await browser.close();
console.log(JSON.stringify(outputs));
