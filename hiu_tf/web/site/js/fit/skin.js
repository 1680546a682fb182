/** The mesh of a posed hand by linear blend skinning. See hiu_tf/fit/skin.py. */

import { difference, FINGERS } from "./chain.js";
import { applied, rotationMatrix } from "./rotation.js";

const JOINTS = 16;
const FEATURES = 145;

export class Skin {
  /** @param arrays of the hand model, @param chain of the same. */
  constructor({ vertices, weights, directions }, chain) {
    Object.assign(this, { vertices, weights, directions, chain });
  }

  /** Vertices [x, y, z, x, ...], metres, camera frame. */
  of(hand) {
    const bones = this.bones(hand);
    const features = this.features(hand);
    const moved = new Float32Array(this.vertices.length);
    for (let vertex = 0; vertex < moved.length / 3; vertex++) {
      const bent = [0, 1, 2].map((axis) => this.bent(3 * vertex + axis, features));
      for (let joint = 0; joint < JOINTS; joint++) {
        const weight = this.weights[JOINTS * vertex + joint];
        if (!weight) continue;
        const { rotation, offset } = bones[joint];
        applied(rotation, bent).forEach((value, axis) => (moved[3 * vertex + axis] += weight * (value + offset[axis])));
      }
    }
    return moved;
  }

  /** For each joint of the model where it takes a point of the rest pose: rotation, then offset. */
  bones(hand) {
    const { joints, frames } = this.chain.posed(hand);
    const bone = (rotation, joint) => {
      const rest = applied(rotation, this.chain.rest(joint, hand.shape));
      return { rotation, offset: difference(joints[joint], rest) };
    };
    const bones = [bone(hand.rotation, 0)];
    FINGERS.forEach((places, finger) => {
      this.chain.thetaRows[finger].forEach((row, k) => (bones[row + 1] = bone(frames[finger][k + 1], places[k + 1])));
    });
    return bones;
  }

  /** What shape and pose directions are multiplied by: beta, then R - I of each joint. */
  features(hand) {
    const values = [...hand.shape];
    for (let row = 0; row < 45; row += 3) {
      values.push(...rotationMatrix(hand.pose.slice(row, row + 3)).map((value, k) => value - (k % 4 ? 0 : 1)));
    }
    return Float64Array.from(values);
  }

  bent(coordinate, features) {
    let value = this.vertices[coordinate];
    const first = FEATURES * coordinate;
    for (let k = 0; k < FEATURES; k++) value += features[k] * this.directions[first + k];
    return value;
  }
}
