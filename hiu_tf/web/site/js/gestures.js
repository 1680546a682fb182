/** Names the gesture of a hand by rules on its joints. See hiu_tf/runtime/gestures.py. */

/** Share of a finger's length between knuckle and tip above which it is straight, below which it is bent. */
export const STRAIGHT = 0.92;
export const BENT = 0.78;
/** In palms, from wrist to middle knuckle: the thumb is out; thumb and index meet. */
export const THUMB_OUT = 1.08;
export const MEET = 0.4;
/** Thumb and index of a fist are near each other too; then the index finger is shorter than this share. */
export const NOT_A_FIST = 0.7;
/** Thumb, index, middle, ring, little: s straight (a thumb: out), n not straight, b bent. */
export const GESTURES = [
  ["sssss", "open"],
  ["nssss", "four"],
  ["nsssn", "three"],
  ["sssnn", "three"],
  ["nssnn", "victory"],
  ["nsnnn", "point"],
  ["ssnnn", "gun"],
  ["nsnns", "horns"],
  ["ssnns", "love"],
  ["snnns", "call"],
  ["nnnns", "little finger"],
  ["nbbbb", "fist"],
  ["sbbbb", "thumb"],
];
const [WRIST, THUMB2, THUMB4, INDEX4, MIDDLE1, LITTLE1] = [0, 2, 4, 8, 9, 17];
const KNUCKLES = [5, 9, 13, 17];

/**
 * The gesture's name, or null.
 * @param joints3d [21][3] in any unit.
 * @param joints2d [21][2] pixels of the upright picture.
 */
export function gesture(joints3d, joints2d) {
  const lengths = KNUCKLES.map((first) => lengthOf(joints3d.slice(first, first + 4)));
  if (pinch(joints3d) < MEET && lengths[0] > NOT_A_FIST) return Math.min(...lengths.slice(1)) > STRAIGHT ? "ok" : "pinch";
  const isOut = apart(joints3d[THUMB4], joints3d[LITTLE1]) > THUMB_OUT * palm(joints3d);
  const states = [isOut ? "s" : "nb", ...lengths.map((share) => (share > STRAIGHT ? "s" : share < BENT ? "nb" : "n"))];
  const found = GESTURES.find(([rule]) => states.every((state, k) => state.includes(rule[k])));
  if (!found) return null;
  return found[1] === "thumb" ? `thumb ${direction(joints2d)}` : found[1];
}

/** Distance between the tips of thumb and index finger, in palms. */
export function pinch(joints3d) {
  return apart(joints3d[THUMB4], joints3d[INDEX4]) / palm(joints3d);
}

function lengthOf(finger) {
  const whole = [0, 1, 2].reduce((sum, k) => sum + apart(finger[k], finger[k + 1]), 0);
  return apart(finger[0], finger[3]) / Math.max(whole, 1e-9);
}

function direction(joints2d) {
  const [across, down] = [0, 1].map((axis) => joints2d[THUMB4][axis] - joints2d[THUMB2][axis]);
  if (Math.abs(down) <= Math.abs(across)) return "sideways";
  return down > 0 ? "down" : "up";
}

function palm(joints3d) {
  return Math.max(apart(joints3d[WRIST], joints3d[MIDDLE1]), 1e-9);
}

function apart(a, b) {
  return Math.hypot(...a.map((value, k) => value - b[k]));
}
