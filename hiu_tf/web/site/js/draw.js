/** The picture with masks and skeletons on a canvas. */

import { boxOf } from "./boxes.js";
import { affine, inverse } from "./window.js";

/** One colour per finger: thumb, index, middle, ring, little. */
export const FINGER_COLORS = [[230, 60, 60], [240, 170, 40], [80, 190, 80], [60, 140, 235], [170, 90, 220]];
export const MASK_COLOR = [60, 200, 255];
const LONGEST = 1280;
/** Alpha of a mask that is sure. */
const OPAQUE = 0.4 * 255;
/** Joints that score less are drawn thin. */
const UNSURE = 0.3;

/**
 * Draws a picture and its hands.
 *
 * @param view the canvas on the page.
 * @param source what shows the picture: a canvas.
 * @param bones [[parent, child], ...].
 * @param show {skeleton, mask, mirrored}.
 */
export function draw(view, source, hands, bones, show) {
  const scale = Math.min(1, LONGEST / Math.max(source.width, source.height));
  const size = { width: Math.round(source.width * scale), height: Math.round(source.height * scale) };
  if (view.width !== size.width || view.height !== size.height) Object.assign(view, size);
  const context = view.getContext("2d");
  const flip = show.mirrored ? [-scale, 0, 0, scale, view.width, 0] : [scale, 0, 0, scale, 0, 0];
  context.setTransform(...flip);
  context.drawImage(source, 0, 0);
  // Canvas puts the corner of the first pixel at 0, we put its middle there.
  context.translate(0.5, 0.5);
  if (show.mask) hands.forEach((hand) => drawMask(context, hand));
  if (show.skeleton) hands.forEach((hand) => drawSkeleton(context, hand, bones));
  context.setTransform(1, 0, 0, 1, 0, 0);
  hands.forEach((hand, k) => {
    const number = hands.length > 1 ? [hand.id ?? k + 1] : [];
    drawLabel(context, hand, [...number, hand.gesture ?? []].flat().join(": "), flip);
  });
}

function drawSkeleton(context, { joints_2d: joints, joint_scores: scores }, bones) {
  const [, , width, height] = boxOf(joints);
  const thick = Math.max(1.5, Math.max(width, height) / 60);
  const isSure = (joint) => scores[joint] > UNSURE;
  context.lineCap = "round";
  bones.forEach(([parent, child], bone) => {
    context.strokeStyle = css(FINGER_COLORS[Math.floor(bone / 4)]);
    context.lineWidth = isSure(parent) && isSure(child) ? thick : thick / 2;
    context.beginPath();
    context.moveTo(...joints[parent]);
    context.lineTo(...joints[child]);
    context.stroke();
  });
  joints.forEach(([x, y], joint) => {
    context.fillStyle = joint ? css(FINGER_COLORS[Math.floor((joint - 1) / 4)]) : "#fff";
    context.beginPath();
    context.arc(x, y, 0.9 * thick, 0, 2 * Math.PI);
    context.fill();
  });
}

function drawMask(context, { mask, crop }) {
  if (!mask) return;
  const tint = document.createElement("canvas");
  tint.width = tint.height = crop.size;
  const pixels = new ImageData(crop.size, crop.size);
  const [red, green, blue] = MASK_COLOR;
  for (let k = 0; k < mask.length; k++) pixels.data.set([red, green, blue, OPAQUE * mask[k]], 4 * k);
  tint.getContext("2d").putImageData(pixels, 0, 0);
  const [a, b, c, d, e, f] = inverse(affine(crop));
  context.save();
  context.transform(a, d, b, e, c, f);
  context.drawImage(tint, -0.5, -0.5);
  context.restore();
}

function drawLabel(context, hand, text, [a, , , d, e]) {
  const [x, y, width] = boxOf(hand.joints_2d);
  const onScreen = context.canvas.clientWidth || context.canvas.width;
  const [across, up, size] = [a * (x + width / 2) + e, d * y, (18 * context.canvas.width) / onScreen];
  context.font = `600 ${size}px system-ui, sans-serif`;
  Object.assign(context, { textAlign: "center", textBaseline: "bottom", lineWidth: size / 5, lineJoin: "round" });
  const top = Math.max(up - size / 2, 1.2 * size);
  context.strokeStyle = "rgba(0, 0, 0, 0.7)";
  context.strokeText(text, across, top);
  context.fillStyle = "#fff";
  context.fillText(text, across, top);
}

function css(color) {
  return `rgb(${color.join(" ")})`;
}
