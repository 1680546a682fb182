/** Meshes as viewers and files expect them. */

/** Vertices of a camera (y down, z forward) with y up and z towards the viewer. */
export function upright(vertices) {
  return vertices.map((value, k) => (k % 3 ? -value : value));
}

/** Faces whose normals point outside; a left hand is a mirror image. */
export function outward(faces, side) {
  return side === "left" ? faces.map(([a, b, c]) => [c, b, a]) : faces;
}
