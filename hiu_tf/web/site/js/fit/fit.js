/** The mesh moved onto what the network itself saw in the picture. See hiu_tf/runtime/evidence_fit.py. */

import { directionsOf, MIN_DEPTH, Residuals } from "./evidence.js";
import { axisAngleOf, rotationMatrix } from "./rotation.js";
import { Skin } from "./skin.js";
import { refine } from "./solve.js";

export const STEPS = 2;
/** A hand fewer joints of which can be read is left as the regressor says it. */
export const FEWEST = 8;
export const READABLE = 0.2;

export class EvidenceFit {
  /**
   * @param arrays of the hand model that the network poses.
   * @param camera K [3][3] of the crop.
   */
  constructor(arrays, camera) {
    this.residuals = new Residuals(arrays);
    this.skin = new Skin(arrays, this.residuals.chain);
    this.camera = camera;
  }

  /**
   * Raw outputs of one crop -> the same with fitted parameters, mesh, 3D joints and projected joints. A shape that is
   * given is held.
   */
  fitted(raw, shape = null) {
    if (raw.joint_scores.filter((score) => score > READABLE).length < FEWEST) return raw;
    const start = {
      shape: Array.from(shape ?? raw.shape),
      pose: Array.from(raw.pose),
      rotation: rotationMatrix(raw.rotation),
      translation: Array.from(raw.translation),
    };
    const hand = refine(this.residuals, this.evidence(raw), start, STEPS, shape !== null);
    const { joints } = this.residuals.chain.posed(hand);
    return {
      ...raw,
      shape: hand.shape,
      pose: hand.pose,
      rotation: axisAngleOf(hand.rotation),
      translation: hand.translation,
      joints_3d: Float32Array.from(joints.flat()),
      vertices: this.skin.of(hand),
      joints_2d_projected: joints.flatMap((joint) => this.projected(joint)),
    };
  }

  evidence(raw) {
    const seen = raw.joints_2d;
    const extent = (axis) => {
      const values = seen.filter((_, k) => k % 2 === axis);
      return Math.max(...values) - Math.min(...values);
    };
    return {
      joints_2d: seen,
      weights: raw.joint_scores.map((score) => (score > READABLE ? Math.min(score, 1) : 0)),
      camera: this.camera,
      box: Math.max(extent(0), extent(1)),
      directions: directionsOf(raw.joints_3d),
    };
  }

  projected([x, y, z]) {
    const [flatX, flatY] = [x, y].map((value) => value / Math.max(z, MIN_DEPTH));
    return this.camera.slice(0, 2).map(([a, b, c]) => a * flatX + b * flatY + c);
  }
}
