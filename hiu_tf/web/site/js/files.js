/** What can be downloaded: JSON as `hiu predict` writes it, and a mesh as GLB. */

import { outward, upright } from "./orientation.js";

/** The content of the JSON file of a picture's hands; `units` and `jointNames` are those of the Python package. */
export function predictionJson(picture, hands, { units, joint_names: jointNames }) {
  return { made_by: "hiu-tf", picture, joint_names: jointNames, units, hands: hands.map((hand) => handJson(hand, units)) };
}

function handJson(hand, units) {
  const { side, side_score: sideScore, score, gesture, pinch, frame, hand: model, crop } = hand;
  const shapes = { joints_3d: 3, vertices: 3, pose: 3 };
  const where = {
    centre: crop.centre.map((value) => rounded(value, 3)),
    side: rounded(crop.side, 3),
    mirrored: crop.mirrored,
    angle: rounded(crop.angle, 4),
  };
  const read = {
    side,
    side_score: sideScore === null ? null : rounded(sideScore, 4),
    score: rounded(score, 4),
    gesture,
    pinch: rounded(pinch, 3),
    frame,
    hand: model,
  };
  const others = { ...read, crop: where };
  const arrays = Object.keys(units).filter((name) => !(name in others));
  const values = arrays.map((name) => {
    const plain = Array.from(hand[name], (value) => (value.length ? value.map((v) => rounded(v, 6)) : rounded(value, 6)));
    return [name, shapes[name] ? rows(plain, shapes[name]) : plain];
  });
  return { ...others, ...Object.fromEntries(values) };
}

/** One hand's mesh as a glTF 2.0 binary: y up, z towards the viewer, metres, the wrist at the origin. */
export function glb(hand, faces) {
  const wrist = hand.joints_3d.slice(0, 3);
  const positions = upright(hand.vertices.map((value, k) => value - wrist[k % 3]));
  const indices = Uint16Array.from(outward(faces, hand.side).flat());
  const normals = vertexNormals(positions, indices);
  const count = positions.length / 3;
  const axis = (k) => positions.filter((_, place) => place % 3 === k);
  const bounds = (of) => [0, 1, 2].map((k) => axis(k).reduce((a, b) => of(a, b)));
  const [FLOAT, SHORT, VERTICES, INDICES] = [5126, 5123, 34962, 34963];
  const document = {
    asset: { version: "2.0", generator: "hiu-tf" },
    scene: 0,
    scenes: [{ nodes: [0] }],
    nodes: [{ name: `${hand.side}_hand`, mesh: 0 }],
    meshes: [{ primitives: [{ attributes: { POSITION: 0, NORMAL: 1 }, indices: 2, material: 0 }] }],
    materials: [{ pbrMetallicRoughness: { baseColorFactor: [0.58, 0.38, 0.27, 1], metallicFactor: 0, roughnessFactor: 0.75 } }],
    buffers: [{ byteLength: positions.byteLength + normals.byteLength + padded(indices.byteLength) }],
    bufferViews: [
      { buffer: 0, byteOffset: 0, byteLength: positions.byteLength, target: VERTICES },
      { buffer: 0, byteOffset: positions.byteLength, byteLength: normals.byteLength, target: VERTICES },
      { buffer: 0, byteOffset: 2 * positions.byteLength, byteLength: indices.byteLength, target: INDICES },
    ],
    accessors: [
      { bufferView: 0, componentType: FLOAT, count, type: "VEC3", min: bounds(Math.min), max: bounds(Math.max) },
      { bufferView: 1, componentType: FLOAT, count, type: "VEC3" },
      { bufferView: 2, componentType: SHORT, count: indices.length, type: "SCALAR" },
    ],
  };
  return container(new TextEncoder().encode(JSON.stringify(document)), [positions, normals, indices]);
}

/** The file of a JSON chunk, filled with spaces, and a binary chunk, filled with zeros. */
function container(text, arrays) {
  const binary = padded(arrays.reduce((sum, array) => sum + array.byteLength, 0));
  const length = 12 + 8 + padded(text.length) + 8 + binary;
  const bytes = new Uint8Array(length).fill(0x20, 20, 20 + padded(text.length));
  const header = new DataView(bytes.buffer);
  const write = (place, ...words) => words.forEach((word, k) => header.setUint32(place + 4 * k, word, true));
  write(0, 0x46546c67, 2, length, padded(text.length), 0x4e4f534a);
  bytes.set(text, 20);
  let place = 20 + padded(text.length);
  write(place, binary, 0x004e4942);
  place += 8;
  for (const array of arrays) {
    bytes.set(new Uint8Array(array.buffer, array.byteOffset, array.byteLength), place);
    place += array.byteLength;
  }
  return bytes;
}

function vertexNormals(positions, indices) {
  const normals = new Float32Array(positions.length);
  const at = (vertex) => positions.subarray(3 * vertex, 3 * vertex + 3);
  for (let k = 0; k < indices.length; k += 3) {
    const corners = [...indices.subarray(k, k + 3)];
    const [a, b, c] = corners.map(at);
    const [u, v] = [b, c].map((corner) => corner.map((value, axis) => value - a[axis]));
    const normal = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
    for (const corner of corners) normal.forEach((value, axis) => (normals[3 * corner + axis] += value));
  }
  for (let k = 0; k < normals.length; k += 3) {
    const length = Math.hypot(normals[k], normals[k + 1], normals[k + 2]) || 1;
    for (let axis = 0; axis < 3; axis++) normals[k + axis] /= length;
  }
  return normals;
}

function rows(values, width) {
  return Array.from({ length: values.length / width }, (_, k) => values.slice(width * k, width * (k + 1)));
}

function rounded(value, digits) {
  return Math.round(value * 10 ** digits) / 10 ** digits;
}

function padded(length) {
  return Math.ceil(length / 4) * 4;
}
