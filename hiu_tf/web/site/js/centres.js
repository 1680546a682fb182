/** The detector's centre maps -> hands {box, direction, left, score}: see hiu_tf/codecs/centres.py. */

import { overlap } from "./boxes.js";
import { toPicture } from "./letterbox.js";

/** Maps have a cell for every STRIDE pixels, and of each cell CHANNELS values: centre, offset, size, direction, left. */
export const STRIDE = 4;
export const CHANNELS = 8;
export const PRIOR_LOGIT = -4.6;
/** Two boxes that share more than this (intersection over union) are one hand. */
export const SAME_HAND = 0.4;

/** The hands that maps [cells, cells, CHANNELS] show, the surest first, in pixels of the square. */
export function decode(maps, cells, leastScore, most = 20) {
  const scores = Float32Array.from({ length: cells * cells }, (_, k) => sigmoid(maps[CHANNELS * k] + PRIOR_LOGIT));
  const peaks = [];
  scores.forEach((score, k) => {
    if (score >= leastScore && isPeak(scores, cells, k)) peaks.push(k);
  });
  peaks.sort((a, b) => scores[b] - scores[a] || a - b);
  const found = [];
  for (const k of peaks) {
    const values = maps.subarray(CHANNELS * k, CHANNELS * (k + 1));
    const hand = handAt(values, k % cells, Math.floor(k / cells), scores[k]);
    if (found.every((other) => overlap(hand.box, other.box) <= SAME_HAND)) found.push(hand);
    if (found.length === most) break;
  }
  return found;
}

/** The same hand in pixels of the picture that lies in the square. */
export function foundInPicture(hand, where) {
  const [x, y, width, height] = hand.box;
  return { ...hand, box: [...toPicture([x, y], where), width / where.scale, height / where.scale] };
}

function isPeak(scores, cells, k) {
  const [row, column] = [Math.floor(k / cells), k % cells];
  for (let y = Math.max(row - 1, 0); y <= Math.min(row + 1, cells - 1); y++) {
    for (let x = Math.max(column - 1, 0); x <= Math.min(column + 1, cells - 1); x++) {
      if (scores[y * cells + x] > scores[k]) return false;
    }
  }
  return true;
}

function handAt([, offsetX, offsetY, wide, high, across, along, left], column, row, score) {
  const place = (offset, cell) => (offset + cell + 0.5 - 0.5 / STRIDE) * STRIDE;
  const [x, y] = [place(offsetX, column), place(offsetY, row)];
  const [width, height] = [wide, high].map((size) => STRIDE * Math.exp(clipped(size, -4, 8)));
  const length = Math.max(Math.hypot(across, along), 1e-6);
  return {
    box: [x - width / 2, y - height / 2, width, height],
    direction: [across / length, along / length],
    left: sigmoid(left),
    score,
  };
}

function sigmoid(logit) {
  return 1 / (1 + Math.exp(-clipped(logit, -50, 50)));
}

function clipped(value, low, high) {
  return Math.min(Math.max(value, low), high);
}
