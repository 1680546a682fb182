/** Rotations as axis-angles and 3x3 matrices [9 numbers, row after row]. See hiu_tf/geometry/rotation.py. */

/** Squared angle below which the series replaces the quotient. */
const SMALL = 1e-6;

/** R(w) and its left Jacobian J: R(w + dw) = R(J dw) R(w) to first order. */
export function rotationAndJacobian([x, y, z]) {
  const squared = x * x + y * y + z * z;
  const angle = Math.sqrt(squared);
  const isSmall = squared < SMALL;
  const a = isSmall ? 1 - squared / 6 : Math.sin(angle) / angle;
  const b = isSmall ? 0.5 - squared / 24 : (2 * Math.sin(0.5 * angle) ** 2) / squared;
  const c = isSmall ? 1 / 6 - squared / 120 : (1 - a) / squared;
  const turn = [0, -z, y, z, 0, -x, -y, x, 0];
  const twice = product(turn, turn);
  const sum = (first, second) => turn.map((value, k) => (k % 4 ? 0 : 1) + first * value + second * twice[k]);
  return [sum(a, b), sum(b, c)];
}

export function rotationMatrix(axisAngle) {
  return rotationAndJacobian(axisAngle)[0];
}

/** The axis-angle of a rotation matrix, with an angle in [0, pi]. */
export function axisAngleOf(m) {
  const twist = [(m[7] - m[5]) / 2, (m[2] - m[6]) / 2, (m[3] - m[1]) / 2];
  const sine = Math.hypot(...twist);
  const cosine = (m[0] + m[4] + m[8] - 1) / 2;
  if (sine > 1e-8) return twist.map((value) => (value * Math.atan2(sine, cosine)) / sine);
  if (cosine > 0) return twist;
  // Half a turn: the axis is the longest column of R + I.
  const columns = [0, 1, 2].map((c) => [0, 1, 2].map((r) => m[3 * r + c] + (r === c ? 1 : 0)));
  const axis = columns.reduce((best, column) => (Math.hypot(...column) > Math.hypot(...best) ? column : best));
  return axis.map((value) => (value * Math.PI) / Math.hypot(...axis));
}

export function product(a, b) {
  const cell = (r, c) => a[3 * r] * b[c] + a[3 * r + 1] * b[3 + c] + a[3 * r + 2] * b[6 + c];
  return [cell(0, 0), cell(0, 1), cell(0, 2), cell(1, 0), cell(1, 1), cell(1, 2), cell(2, 0), cell(2, 1), cell(2, 2)];
}

export function applied(m, [x, y, z]) {
  return [m[0] * x + m[1] * y + m[2] * z, m[3] * x + m[4] * y + m[5] * z, m[6] * x + m[7] * y + m[8] * z];
}

export function cross([a, b, c], [x, y, z]) {
  return [b * z - c * y, c * x - a * z, a * y - b * x];
}
