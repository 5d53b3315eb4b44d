// Digits to try without drawing, as SVG paths in a box of 100 by 100. The last ones are ambiguous.

export const DIGITS = [
  { name: "0", path: "M52 14 C24 12 22 86 48 86 C76 86 78 16 50 14" },
  { name: "1", path: "M55 14 L46 86" },
  { name: "2", path: "M30 32 C32 8 72 8 69 34 C66 56 42 66 28 84 C42 76 56 86 74 80" },
  { name: "3", path: "M30 20 C46 8 70 12 67 30 C64 44 50 47 44 48 C62 46 76 58 69 74 C62 90 36 90 27 78" },
  { name: "4", path: "M35 16 L28 52 L74 50 M66 18 L58 88" },
  { name: "5", path: "M70 16 L40 17 L35 46 C52 38 74 46 69 68 C64 90 36 90 27 78" },
  { name: "6", path: "M60 14 C40 28 28 54 32 72 C36 92 70 88 67 66 C64 50 40 52 34 70" },
  { name: "7", path: "M27 21 L72 19 C62 40 52 60 46 88" },
  { name: "8", path: "M67 24 C54 8 30 14 34 32 C38 46 67 56 67 70 C66 90 32 90 33 72 C34 54 64 44 67 24" },
  { name: "9", path: "M68 30 C60 10 30 14 32 36 C34 54 62 52 68 30 L62 88" },
  { name: "4 or 9", path: "M48 18 C32 26 28 50 40 54 C52 56 64 48 68 28 M69 20 L60 88" },
  { name: "1 or 7", path: "M36 28 C44 24 52 21 58 16 L48 88" },
];

const STEP = 2;

/** Return the strokes of a path: lists of points (x, y), from 0 to 1. */
export function strokesOf(path) {
  return path.split(/(?=M)/).map((part) => {
    const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
    line.setAttribute("d", part);
    const length = line.getTotalLength();
    const steps = Math.ceil(length / STEP);
    return Array.from({ length: steps + 1 }, (_, k) => {
      const { x, y } = line.getPointAtLength((k / steps) * length);
      return { x: x / 100, y: y / 100 };
    });
  });
}
