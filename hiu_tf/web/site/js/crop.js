/** Pixels of a window, cut out of a picture. */

import { roundEven, shrunk } from "./pixels.js";
import { affine, inverse } from "./window.js";

/** A picture that is shrunk by more than this is averaged first, so that nothing aliases. */
export const SHRINK_AT = 1.5;
export const MOST_SHRINK = 16;
/** Larger factors are multiples of 4, as in hiu_tf/runtime/crop.py. */
export const FINE_UP_TO = 7;
/** As OpenCV does it, so that both see the same crop: places are added up in 1024ths and end in 32nds of a pixel. */
const FINE = 1024;
const PLACES = 32;

/** The crop as values [size, size, 3] in [0, 1] of a picture {data: RGBA, width, height}; outside is black. */
export function cut(picture, window) {
  const back = inverse(affine(window));
  const factor = shrinkFactor(window);
  if (factor === 1) return warped(picture, back, window.size);
  const [width, height] = [picture.width, picture.height].map((side) => Math.floor(side / factor));
  const [a, b, c, d, e, f] = back.map((value) => value / factor);
  const middle = (0.5 * (factor - 1)) / factor;
  const onSmall = [a, b, c - middle, d, e, f - middle];
  const part = seenPart(onSmall, window.size, width, height);
  if (!part) return new Float32Array(3 * window.size * window.size);
  onSmall[2] -= part[0];
  onSmall[5] -= part[1];
  return warped(shrunk(picture, width, height, part, [factor * width, factor * height]), onSmall, window.size);
}

/** Side of the blocks of pixels that are averaged before a crop is cut. */
function shrinkFactor({ side, size }) {
  const factor = Math.floor(Math.min(Math.max(side / size / SHRINK_AT, 1), MOST_SHRINK));
  return factor <= FINE_UP_TO ? factor : factor - (factor % 4);
}

/** The part [left, top, right, bottom] of a picture that a crop shows: no more of it has to be shrunk. */
function seenPart([a, b, c, d, e, f], size, width, height) {
  const ends = [0, size - 1];
  const xs = ends.flatMap((u) => ends.map((v) => a * u + b * v + c));
  const ys = ends.flatMap((u) => ends.map((v) => d * u + e * v + f));
  const [left, top] = [xs, ys].map((places) => Math.max(Math.floor(Math.min(...places)) - 1, 0));
  const right = Math.min(Math.ceil(Math.max(...xs)) + 2, width);
  const bottom = Math.min(Math.ceil(Math.max(...ys)) + 2, height);
  return left < right && top < bottom ? [left, top, right, bottom] : null;
}

/** Bilinear; values are those of whole levels from 0 to 255, which the network was trained on. */
function warped({ data, width, height }, [a, b, c, d, e, f], size) {
  const values = new Float32Array(3 * size * size);
  const across = inFine(size, (u) => a * u);
  const down = inFine(size, (u) => d * u);
  const half = FINE / PLACES / 2;
  const firstX = inFine(size, (v) => b * v + c).map((place) => place + half);
  const firstY = inFine(size, (v) => e * v + f).map((place) => place + half);
  for (let v = 0, to = 0; v < size; v++) {
    for (let u = 0; u < size; u++, to += 3) {
      const x = ((firstX[v] + across[u]) >> 5) / PLACES;
      const y = ((firstY[v] + down[u]) >> 5) / PLACES;
      const left = Math.floor(x);
      const top = Math.floor(y);
      if (left < -1 || top < -1 || left >= width || top >= height) continue;
      for (let corner = 0; corner < 4; corner++) {
        const column = left + (corner & 1);
        const row = top + (corner >> 1);
        if (column < 0 || row < 0 || column >= width || row >= height) continue;
        const share = (1 - Math.abs(x - column)) * (1 - Math.abs(y - row));
        const from = 4 * (row * width + column);
        values[to] += share * data[from];
        values[to + 1] += share * data[from + 1];
        values[to + 2] += share * data[from + 2];
      }
      for (let k = 0; k < 3; k++) values[to + k] = Math.floor(values[to + k] + 0.5) / 255;
    }
  }
  return values;
}

function inFine(size, place) {
  return Int32Array.from({ length: size }, (_, k) => roundEven(FINE * place(k)));
}
