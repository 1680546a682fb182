/** A whole picture as the detector's square input: shrunk to fit, in the middle, black around it. */

import { enlarged, roundEven, smaller } from "./pixels.js";

/**
 * The square as values [size, size, 3] in [0, 1], and where the picture lies in it: pixels of the square per pixel of
 * the picture, and the corner (x, y) of the picture's first pixel.
 */
export function letterbox(picture, size) {
  const scale = size / Math.max(picture.height, picture.width);
  const width = Math.max(1, roundEven(picture.width * scale));
  const height = Math.max(1, roundEven(picture.height * scale));
  const [left, top] = [Math.floor((size - width) / 2), Math.floor((size - height) / 2)];
  const small = scale < 1 ? smaller(picture, width, height) : enlarged(picture, width, height);
  const values = new Float32Array(3 * size * size);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [from, to] = [4 * (y * width + x), 3 * ((y + top) * size + x + left)];
      for (let c = 0; c < 3; c++) values[to + c] = small.data[from + c] / 255;
    }
  }
  return { values, where: { scale, offset: [left, top] } };
}

/** Pixels of the square -> pixels of the picture; pixel centres are whole numbers. */
export function toPicture([x, y], where) {
  return [(x + 0.5 - where.offset[0]) / where.scale - 0.5, (y + 0.5 - where.offset[1]) / where.scale - 0.5];
}
