/**
 * How far a posed hand is from what is known about it: residuals in deviations, each {error, moves [61]}. See
 * hiu_tf/fit/evidence.py.
 */

import { Chain, difference, PARAMETERS, POSE, SHAPE } from "./chain.js";

/** One standard deviation of 2D joints (of the box's longer side), bones' directions, poses, limits, beta. */
export const JOINTS_2D = 0.016;
export const DIRECTIONS = 0.2;
export const NATURAL = 0.15;
export const LIMITS = 0.05;
export const BETA = 1.0;
/** Points nearer than this are projected as if they were there, metres. */
export const MIN_DEPTH = 0.05;

export class Residuals {
  /** @param arrays of the hand model. */
  constructor(arrays) {
    this.chain = new Chain(arrays);
    this.bones = Array.from({ length: 20 }, (_, k) => [k % 4 ? k : 0, k + 1]);
    this.mean = arrays.pose_mean;
    this.prior = Array.from(arrays.pose_deviations, (deviation, k) => {
      const spread = Math.hypot(deviation, NATURAL);
      return row(POSE, arrays.pose_basis.subarray(45 * k, 45 * k + 45), 1 / spread);
    });
    this.limits = Array.from({ length: 45 }, (_, k) => ({
      moves: row(POSE + 3 * Math.floor(k / 3), arrays.limit_axes.subarray(3 * k, 3 * k + 3), 1 / LIMITS),
      low: arrays.limits[2 * k] / LIMITS,
      high: arrays.limits[2 * k + 1] / LIMITS,
    }));
  }

  /** All residuals of a hand; `known`: {joints_2d, weights, camera, box, directions}. */
  of(known, hand) {
    const { joints, table } = this.chain.derivatives(hand);
    return [
      ...this.seen(known, joints, table),
      ...this.pointing(known, joints, table),
      ...this.natural(hand),
      ...this.beyondLimits(hand),
    ];
  }

  seen({ joints_2d: seen, weights, camera, box }, joints, table) {
    return joints.flatMap(([x, y, z], joint) => {
      const depth = Math.max(z, MIN_DEPTH);
      const scale = weights[joint] / (JOINTS_2D * box);
      return [x / depth, y / depth].map((flat, axis) => {
        const focal = camera[axis][axis];
        const [along, inward] = [table[3 * joint + axis], table[3 * joint + 2]];
        const moves = along.map((value, k) => ((value - flat * inward[k]) * focal * scale) / depth);
        return { error: (flat * focal + camera[axis][2] - seen[2 * joint + axis]) * scale, moves };
      });
    });
  }

  pointing({ directions }, joints, table) {
    return this.bones.flatMap(([parent, child], bone) => {
      const arm = difference(joints[child], joints[parent]);
      const length = Math.hypot(...arm);
      const unit = arm.map((value) => value / length);
      const moves = unit.map((_, axis) => {
        const from = table[3 * parent + axis];
        return table[3 * child + axis].map((value, k) => value - from[k]);
      });
      const along = moves[0].map((_, k) => unit[0] * moves[0][k] + unit[1] * moves[1][k] + unit[2] * moves[2][k]);
      return unit.map((value, axis) => ({
        error: (value - directions[bone][axis]) / DIRECTIONS,
        moves: moves[axis].map((move, k) => (move - value * along[k]) / length / DIRECTIONS),
      }));
    });
  }

  /** The Gaussians of beta and, in its own directions, of natural poses. */
  natural(hand) {
    const betas = hand.shape.map((value, k) => ({ error: value / BETA, moves: row(SHAPE + k, [1], 1 / BETA) }));
    const apart = hand.pose.map((value, k) => value - this.mean[k]);
    return betas.concat(this.prior.map((moves) => ({ error: dotPose(moves, apart), moves })));
  }

  /** Flexion, abduction and twist beyond what joints allow. */
  beyondLimits(hand) {
    return this.limits.flatMap(({ moves, low, high }) => {
      const angle = dotPose(moves, hand.pose);
      const beyond = Math.max(angle - high, 0) + Math.min(angle - low, 0);
      return beyond ? [{ error: beyond, moves }] : [];
    });
  }
}

/** Unit vectors along the 20 bones of joints [x, y, z, x, ...]; 0 for a bone without length. */
export function directionsOf(joints) {
  const at = (joint) => joints.slice(3 * joint, 3 * joint + 3);
  return Array.from({ length: 20 }, (_, k) => {
    const arm = difference(at(k + 1), at(k % 4 ? k : 0));
    return arm.map((value) => value / Math.max(Math.hypot(...arm), 1e-9));
  });
}

function row(first, values, scale) {
  const moves = new Float64Array(PARAMETERS);
  values.forEach((value, k) => (moves[first + k] = value * scale));
  return moves;
}

function dotPose(moves, pose) {
  return pose.reduce((total, value, k) => total + value * moves[POSE + k], 0);
}
