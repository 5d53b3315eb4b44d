// A pad to draw on with mouse, pen or finger, and the image that the network gets of it.

export const SIZE = 28; // MNIST's images, in pixels
const BOX = 20; // MNIST's digits are scaled to fit into a box, and centred by their mass
const PEN = 2.4; // the width of the lines, in pixels of the image
const PEN_ON_PAD = 0.07; // the same on the pad, as a fraction of it
const SMALLEST = 0.25; // a dot is not enlarged to fill the box

export class Drawing {
  /** Draw on a canvas; `changed` is called after each stroke. */
  constructor(canvas, changed) {
    this.canvas = canvas;
    this.changed = changed;
    this.strokes = [];
    canvas.addEventListener("pointerdown", (event) => this.#begin(event));
    canvas.addEventListener("pointermove", (event) => this.#extend(event));
    canvas.addEventListener("pointerup", () => this.#end());
    canvas.addEventListener("pointercancel", () => this.#end());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#show());
    this.#show();
  }

  /** Replace the strokes: lists of points (x, y), from 0 to 1. */
  set(strokes) {
    this.strokes = strokes;
    this.#show();
    this.changed();
  }

  #begin(event) {
    if (event.button !== 0) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.stroke = [this.#place(event)];
    this.strokes = [...this.strokes, this.stroke];
    this.#show();
  }

  #extend(event) {
    if (!this.stroke) return;
    const events = event.getCoalescedEvents?.() ?? [];
    for (const one of events.length ? events : [event]) this.stroke.push(this.#place(one));
    this.#show();
  }

  #end() {
    if (!this.stroke) return;
    this.stroke = undefined;
    this.changed();
  }

  #place(event) {
    const pad = this.canvas.getBoundingClientRect();
    return { x: (event.clientX - pad.x) / pad.width, y: (event.clientY - pad.y) / pad.height };
  }

  #show() {
    const { width, height } = this.canvas;
    const context = this.canvas.getContext("2d");
    context.clearRect(0, 0, width, height);
    context.strokeStyle = getComputedStyle(this.canvas).color;
    trace(context, this.strokes, { scale: width, x: 0, y: 0, pen: PEN_ON_PAD * width });
  }
}

/** Return the image that the network gets of strokes: a Uint8Array, white on black. */
export function pixelsOf(strokes) {
  const points = strokes.flat();
  if (!points.length) return new Uint8Array(SIZE * SIZE);
  const [left, right] = range(points.map(({ x }) => x));
  const [top, bottom] = range(points.map(({ y }) => y));
  const scale = (BOX - PEN) / Math.max(right - left, bottom - top, SMALLEST);
  const x = SIZE / 2 - ((left + right) / 2) * scale;
  const y = SIZE / 2 - ((top + bottom) / 2) * scale;
  const inBox = rasterised(strokes, { scale, x, y, pen: PEN });
  const mass = centreOfMass(inBox);
  const middle = SIZE / 2;
  const dx = Math.round(middle - mass.x);
  const dy = Math.round(middle - mass.y);
  return rasterised(strokes, { scale, x: x + dx, y: y + dy, pen: PEN });
}

function rasterised(strokes, place) {
  const canvas = new OffscreenCanvas(SIZE, SIZE);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillRect(0, 0, SIZE, SIZE);
  context.strokeStyle = "white";
  trace(context, strokes, place);
  const { data } = context.getImageData(0, 0, SIZE, SIZE);
  return Uint8Array.from({ length: SIZE * SIZE }, (_, k) => data[4 * k]);
}

function trace(context, strokes, { scale, x, y, pen }) {
  context.lineWidth = pen;
  context.lineCap = context.lineJoin = "round";
  context.beginPath();
  for (const [first, ...rest] of strokes) {
    context.moveTo(first.x * scale + x, first.y * scale + y);
    for (const point of rest.length ? rest : [first]) {
      context.lineTo(point.x * scale + x, point.y * scale + y);
    }
  }
  context.stroke();
}

function centreOfMass(pixels) {
  let [mass, x, y] = [0, 0, 0];
  pixels.forEach((value, k) => {
    mass += value;
    x += value * ((k % SIZE) + 0.5);
    y += value * (Math.floor(k / SIZE) + 0.5);
  });
  return { x: x / mass, y: y / mass };
}

const range = (numbers) => [Math.min(...numbers), Math.max(...numbers)];
