/**
 * Where the network looks: a square {centre, side, size, mirrored, angle} of the picture that is drawn as a crop of
 * size x size pixels. See hiu_tf/geometry/window.py.
 */

import { boxOf } from "./boxes.js";

/** No hand's box counts as smaller than this, in pixels of its picture. */
export const MIN_SIDE = 4.0;
const [WRIST, MIDDLE1] = [0, 9];

/** [a, b, c, d, e, f]: picture (x, y) -> crop (a x + b y + c, d x + e y + f). */
export function affine({ centre, side, size, mirrored, angle }) {
  const [scale, middle, flip] = [size / side, 0.5 * (size - 1), mirrored ? -1 : 1];
  const [cos, sin] = [scale * Math.cos(angle), scale * Math.sin(angle)];
  const [a, b, d, e] = [cos * flip, -sin, sin * flip, cos];
  return [a, b, middle - (a * centre[0] + b * centre[1]), d, e, middle - (d * centre[0] + e * centre[1])];
}

/** [a, b, c, d, e, f] of the way back. */
export function inverse([a, b, c, d, e, f]) {
  const area = a * e - b * d;
  return [e / area, -b / area, (b * f - c * e) / area, -d / area, a / area, (c * d - a * f) / area];
}

/** The window that shows the same hand, as upright, as one of the other side. */
export function otherSide(window) {
  return { ...window, mirrored: !window.mirrored, angle: -window.angle };
}

/** Picture pixels [[x, y], ...] -> crop pixels. */
export function toCrop(window, points) {
  return moved(affine(window), points);
}

/** Crop pixels [[x, y], ...] -> picture pixels. */
export function toPicture(window, points) {
  return moved(inverse(affine(window)), points);
}

/** The window around a hand's box [x, y, width, height]. */
export function aroundBox([x, y, width, height], size, mirrored, angle, scale) {
  const centre = [x + width / 2, y + height / 2];
  return { centre, side: scale * Math.max(width, height, MIN_SIDE), size, mirrored, angle };
}

/** The upright window around 2D joints (picture pixels): wrist to middle finger points up in the crop. */
export function aroundHand(joints, window, scale) {
  const [wrist, middle] = toCrop({ ...window, angle: 0 }, [joints[WRIST], joints[MIDDLE1]]);
  const upright = { ...window, angle: -Math.PI / 2 - Math.atan2(middle[1] - wrist[1], middle[0] - wrist[0]) };
  const [x, y, width, height] = boxOf(toCrop(upright, joints));
  const [centre] = toPicture(upright, [[x + width / 2, y + height / 2]]);
  const longer = (Math.max(width, height) * window.side) / window.size;
  return { ...upright, centre, side: scale * Math.max(longer, MIN_SIDE) };
}

/** Points [x, y, z, x, y, z, ...] of the crop's virtual camera along the picture's axes. */
export function alongPicture({ mirrored, angle }, points) {
  const [cos, sin, flip] = [Math.cos(-angle), Math.sin(-angle), mirrored ? -1 : 1];
  const turned = new Float32Array(points.length);
  for (let k = 0; k < points.length; k += 3) {
    turned[k] = flip * (cos * points[k] - sin * points[k + 1]);
    turned[k + 1] = sin * points[k] + cos * points[k + 1];
    turned[k + 2] = points[k + 2];
  }
  return turned;
}

function moved([a, b, c, d, e, f], points) {
  return points.map(([x, y]) => [a * x + b * y + c, d * x + e * y + f]);
}
