/** Levenberg-Marquardt: moves a hand towards its evidence. See hiu_tf/fit/solve.py. */

import { PARAMETERS, POSE, stepped } from "./chain.js";

/** Residuals beyond this many deviations pull with constant force (Huber). */
export const OUTLIER = 3.0;
export const DAMPING = 1e-2;
export const EASE = 0.3;
export const STIFFEN = 8.0;

/** The hand after so many steps; its shape stays as it is where it is held. */
export function refine(residuals, known, start, steps, holdsShape = false) {
  let [hand, damping] = [start, DAMPING];
  let rows = residuals.of(known, hand);
  for (let k = 0; k < steps; k++) {
    const tried = stepped(hand, step(rows, damping, holdsShape ? POSE : 0));
    const triedRows = residuals.of(known, tried);
    const isBetter = cost(triedRows) < cost(rows);
    if (isBetter) [hand, rows] = [tried, triedRows];
    damping = Math.min(Math.max(damping * (isBetter ? EASE : STIFFEN), 1e-8), 1e6);
  }
  return hand;
}

/** The step of the parameters from the `first` on. */
function step(rows, damping, first) {
  const normal = Array.from({ length: PARAMETERS }, () => new Float64Array(PARAMETERS));
  const downhill = new Float64Array(PARAMETERS);
  for (const { error, moves } of rows) {
    const weight = Math.abs(error) <= OUTLIER ? 1 : OUTLIER / Math.abs(error);
    for (let r = first; r < PARAMETERS; r++) {
      const weighted = weight * moves[r];
      if (!weighted) continue; // most rows move few parameters
      downhill[r] -= weighted * error;
      for (let c = first; c <= r; c++) normal[r][c] += weighted * moves[c];
    }
  }
  normal.forEach((row, k) => (row[k] = row[k] * (1 + damping) + 1e-9));
  return solved(normal, downhill);
}

function cost(rows) {
  return rows.reduce((sum, { error }) => {
    const size = Math.abs(error);
    return sum + (size <= OUTLIER ? 0.5 * size * size : OUTLIER * (size - 0.5 * OUTLIER));
  }, 0);
}

/** x of A x = b for a symmetric, positive A, of which the lower half is given: Cholesky, in place. */
function solved(lower, b) {
  const x = Float64Array.from(b);
  for (let r = 0; r < x.length; r++) {
    for (let c = 0; c <= r; c++) {
      let value = lower[r][c];
      for (let k = 0; k < c; k++) value -= lower[r][k] * lower[c][k];
      lower[r][c] = r === c ? Math.sqrt(value) : value / lower[c][c];
    }
    for (let k = 0; k < r; k++) x[r] -= lower[r][k] * x[k];
    x[r] /= lower[r][r];
  }
  for (let r = x.length - 1; r >= 0; r--) {
    for (let k = r + 1; k < x.length; k++) x[r] -= lower[k][r] * x[k];
    x[r] /= lower[r][r];
  }
  return x;
}
