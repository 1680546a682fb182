/**
 * The 21 joints of a posed hand and their derivatives. See hiu_tf/fit/chain.py.
 *
 * A hand is {shape [10], pose [45], rotation [9], translation [3]}; the parameters of derivatives are beta, theta, a
 * small rotation of the camera frame that is applied after R, and T.
 */

import { applied, cross, product, rotationAndJacobian, rotationMatrix } from "./rotation.js";

export const SHAPE = 0;
export const POSE = 10;
export const ROTATION = 55;
export const TRANSLATION = 58;
export const PARAMETERS = 61;
/** Joints from the wrist along each finger: thumb, index, middle, ring, little. */
export const FINGERS = [0, 1, 2, 3, 4].map((finger) => [0, 1, 2, 3, 4].map((place) => (place ? 4 * finger + place : 0)));

export class Chain {
  /** @param arrays of the hand model. */
  constructor({ points, moves, theta_rows: thetaRows }) {
    Object.assign(this, { points, moves, thetaRows });
  }

  /** Joints [21] of [x, y, z], and for each finger the frames from each joint to its next [5][4] and Jacobians [5][3]. */
  posed(hand) {
    const joints = [];
    joints[0] = sum(this.rest(0, hand.shape), hand.translation); // R turns about the wrist
    const frames = [];
    const jacobians = [];
    FINGERS.forEach((places, finger) => {
      frames[finger] = [hand.rotation];
      jacobians[finger] = [];
      for (let place = 0; place < 4; place++) {
        const [from, to] = [places[place], places[place + 1]];
        const bone = difference(this.rest(to, hand.shape), this.rest(from, hand.shape));
        joints[to] = sum(joints[from], applied(frames[finger][place], bone));
        if (place === 3) continue;
        const row = 3 * this.thetaRows[finger][place];
        const [local, jacobian] = rotationAndJacobian(hand.pose.slice(row, row + 3));
        frames[finger].push(product(frames[finger][place], local));
        jacobians[finger].push(jacobian);
      }
    });
    return { joints, frames, jacobians };
  }

  /** Joints, and a row of PARAMETERS derivatives for each of their 63 coordinates. */
  derivatives(hand) {
    const { joints, frames, jacobians } = this.posed(hand);
    const table = joints.flatMap(() => [0, 1, 2].map(() => new Float64Array(PARAMETERS)));
    joints.forEach((joint, number) => this.byPlace(table.slice(3 * number, 3 * number + 3), joint, joints[0]));
    this.byShape(table, 0, null, 0, null);
    FINGERS.forEach((places, finger) => {
      for (let place = 0; place < 4; place++) {
        this.byShape(table, places[place + 1], frames[finger][place], places[place], places[place]);
      }
      for (let turning = 0; turning < 3; turning++) {
        const axes = product(frames[finger][turning], jacobians[finger][turning]);
        const column = POSE + 3 * this.thetaRows[finger][turning];
        for (const turned of places.slice(turning + 2)) {
          const arm = difference(joints[turned], joints[places[turning + 1]]);
          for (let c = 0; c < 3; c++) {
            const moved = cross([axes[c], axes[3 + c], axes[6 + c]], arm);
            moved.forEach((value, axis) => (table[3 * turned + axis][column + c] = value));
          }
        }
      }
    });
    return { joints, table };
  }

  /** A joint at rest. */
  rest(joint, shape) {
    return [0, 1, 2].map((axis) => {
      const row = 3 * joint + axis;
      return shape.reduce((value, beta, k) => value + beta * this.moves[10 * row + k], this.points[row]);
    });
  }

  byPlace(rows, joint, wrist) {
    const [x, y, z] = difference(joint, wrist);
    const turned = [[0, z, -y], [-z, 0, x], [y, -x, 0]];
    rows.forEach((row, axis) => {
      row.set(turned[axis], ROTATION);
      row[TRANSLATION + axis] = 1;
    });
  }

  /** Beta moves a joint as it moves the one before it (null: none, this is the wrist), and by the bone between them. */
  byShape(table, joint, frame, from, before) {
    for (let k = 0; k < 10; k++) {
      const at = (number) => [0, 1, 2].map((axis) => this.moves[10 * (3 * number + axis) + k]);
      const moved = before === null ? at(joint) : applied(frame, difference(at(joint), at(from)));
      moved.forEach((value, axis) => {
        table[3 * joint + axis][SHAPE + k] = value + (before === null ? 0 : table[3 * before + axis][SHAPE + k]);
      });
    }
  }
}

/** The hand after a step of all parameters. */
export function stepped(hand, step) {
  return {
    shape: hand.shape.map((value, k) => value + step[SHAPE + k]),
    pose: hand.pose.map((value, k) => value + step[POSE + k]),
    rotation: product(rotationMatrix(step.slice(ROTATION, TRANSLATION)), hand.rotation),
    translation: hand.translation.map((value, k) => value + step[TRANSLATION + k]),
  };
}

export function difference(a, b) {
  return [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
}

function sum(a, b) {
  return [a[0] + b[0], a[1] + b[1], a[2] + b[2]];
}
