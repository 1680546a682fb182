/** Boxes [x, y, width, height] and the points in them. */

/** Intersection over union of two boxes. */
export function overlap(a, b) {
  const both = intersection(a, b);
  return both / Math.max(a[2] * a[3] + b[2] * b[3] - both, 1e-9);
}

/** Share of the smaller of two boxes that lies in the other. */
export function shared(a, b) {
  return intersection(a, b) / Math.max(Math.min(a[2] * a[3], b[2] * b[3]), 1e-9);
}

/** The tight box of points [[x, y], ...]. */
export function boxOf(points) {
  const [xs, ys] = [points.map((point) => point[0]), points.map((point) => point[1])];
  const [left, top] = [Math.min(...xs), Math.min(...ys)];
  return [left, top, Math.max(...xs) - left, Math.max(...ys) - top];
}

/** Items, the surest first, without those whose box shares more than `most` with a surer one's. */
export function withoutTwins(items, score, box, most) {
  const kept = [];
  for (const item of [...items].sort((a, b) => score(b) - score(a))) {
    if (kept.every((other) => overlap(box(item), box(other)) <= most)) kept.push(item);
  }
  return kept;
}

function intersection(a, b) {
  const wide = Math.min(a[0] + a[2], b[0] + b[2]) - Math.max(a[0], b[0]);
  const high = Math.min(a[1] + a[3], b[1] + b[3]) - Math.max(a[1], b[1]);
  return Math.max(wide, 0) * Math.max(high, 0);
}
