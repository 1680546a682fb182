/** One picture in, everything about its hands out. See hiu_tf/runtime/predictor.py. */

import { boxOf, withoutTwins } from "./boxes.js";
import { cut } from "./crop.js";
import { findHands } from "./detector.js";
import { gesture, pinch } from "./gestures.js";
import { alongPicture, aroundBox, aroundHand, toPicture } from "./window.js";

/** Hands of one picture at most. */
export const MOST_HANDS = 8;
/** A hand is looked at again where it is turned by more than this (degrees), or is elsewhere or of another size. */
export const TURNED_DEG = 30;
export const MOVED = 0.15;
export const RESIZED = 1.25;
/** Weight of the detector's score in that of a hand; the rest is the joints'. */
export const FOUND = 0.7;
/**
 * Log odds of its side above which a hand is not read as the other side too: of network and detector together, and of
 * the detector alone if the network tells no side. Then a difference of scores of ODDS counts as one in log odds.
 */
export const CONVINCED = 1;
export const SURE = 2.94;
export const ODDS = 0.03;
/** A first look may score this share of what a hand must. */
export const WORTH_A_LOOK = 0.7;
/** Two hands whose boxes share more than this are one, read twice. */
export const SAME_HAND = 0.6;

export class Predictor {
  /**
   * @param networks {hand, detector}: functions of network.js.
   * @param cards {hand, detector}: their cards.
   * @param fit moves the mesh onto the joints that the heat maps show: raw outputs -> the same, fitted.
   */
  constructor(networks, cards, fit) {
    this.networks = networks;
    this.card = cards.hand;
    this.detectorCard = cards.detector;
    this.scale = cards.hand.window_scale;
    this.fit = fit;
  }

  /** The hands of a picture {data: RGBA, width, height}, the surest first. */
  async predict(picture, most = MOST_HANDS) {
    const least = this.card.min_score;
    let looks = [];
    for (const hand of await this.find(picture, 2 * most)) {
      const look = await this.best(picture, this.windows(hand), leftOdds(hand));
      looks.push({ ...look, found: hand.score, detected: hand.box });
    }
    looks = looks.filter((look) => together(look.found, look.score) >= WORTH_A_LOOK * least);
    looks = withoutTwins(looks, (look) => look.score, boxOfHand, SAME_HAND);
    const hands = [];
    for (const look of looks.slice(0, most)) {
      const hand = await this.finished(picture, look);
      if (together(look.found, hand.score) >= least) hands.push(hand);
    }
    return different(hands);
  }

  /** What the detector finds. */
  find(picture, most) {
    return findHands(picture, this.networks.detector, this.detectorCard, most);
  }

  /** The upright windows through which a hand that was found is to be read: one for each side, the likelier first. */
  windows({ box, direction: [across, along], left }) {
    return [left > 0.5, left <= 0.5].map((mirrored) => {
      const angle = -Math.PI / 2 - Math.atan2(along, mirrored ? -across : across);
      return aroundBox(box, this.card.image_size, mirrored, angle, this.scale);
    });
  }

  /** Reads one hand as the side that is likelier; `left` is the detector's log odds of a left hand. */
  async read(picture, windows, left = 0, shape = null) {
    return this.finished(picture, await this.best(picture, windows, left), shape);
  }

  async best(picture, windows, left = 0) {
    let best = null;
    for (const crop of windows) {
      const raw = await this.networks.hand(cut(picture, crop));
      const score = mean(raw.joint_scores);
      const own = raw.right ? logOdds(raw.right[0]) : (2 * score) / ODDS;
      const evidence = own + (crop.mirrored ? left : -left);
      if (!best || evidence > best.evidence) {
        best = { crop, raw, score, evidence, joints_2d: toPicture(crop, pairs(raw.joints_2d)) };
      }
      if (raw.right ? evidence > CONVINCED : Math.abs(left) > SURE) break;
    }
    return best;
  }

  /** A second look where the first asks for it, the fit, and everything in the picture. */
  async finished(picture, look, shape = null) {
    const closer = aroundHand(look.joints_2d, look.crop, this.scale);
    const again = differs(closer, look.crop) ? await this.best(picture, [closer]) : {};
    return this.inPicture({ ...look, ...again }, shape);
  }

  inPicture({ crop, raw, score, joints_2d, detected }, shape) {
    const fitted = this.fit(raw, shape && shape.mean(raw.shape, score));
    const joints = alongPicture(crop, fitted.joints_3d);
    const points = rows(joints, 3);
    return {
      side: crop.mirrored ? "left" : "right",
      side_score: raw.right ? raw.right[0] : null,
      score,
      gesture: gesture(points, joints_2d),
      pinch: pinch(points),
      frame: "crop",
      hand: this.card.hand.name,
      crop,
      box: boxOfHand({ joints_2d, detected }),
      joints_2d,
      joint_scores: raw.joint_scores,
      mask: raw.mask,
      joints_2d_projected: toPicture(crop, pairs(fitted.joints_2d_projected)),
      joints_3d: joints,
      vertices: alongPicture(crop, fitted.vertices),
      shape: fitted.shape,
      pose: fitted.pose,
      rotation: fitted.rotation,
      translation: fitted.translation,
    };
  }
}

/** The box around the joints, and halfway to the detector's box if there is one. */
function boxOfHand({ joints_2d: joints, detected }) {
  const own = boxOf(joints);
  return detected ? own.map((value, k) => (value + detected[k]) / 2) : own;
}

/** How sure detector and network are of a hand: the weighted geometric mean of their scores. */
function together(found, read) {
  return found ** FOUND * read ** (1 - FOUND);
}

/** The hands, the surest first, without those that show what a surer one shows. */
export function different(hands) {
  return withoutTwins(hands, (hand) => hand.score, (hand) => hand.box, SAME_HAND);
}

/** The detector's log odds that a hand is a left one. */
export function leftOdds(hand) {
  return logOdds(hand.left);
}

/** The logarithm of p / (1 - p), finite for 0 and 1. */
export function logOdds(probability) {
  const inside = Math.min(Math.max(probability, 1e-6), 1 - 1e-6);
  return Math.log(inside / (1 - inside));
}

/** Whether a window around what was seen shows something else than the window through which it was seen. */
export function differs(closer, window) {
  const apart = Math.hypot(closer.centre[0] - window.centre[0], closer.centre[1] - window.centre[1]);
  const [grown, turned] = [closer.side / window.side, closer.angle - window.angle];
  const turn = Math.abs(Math.atan2(Math.sin(turned), Math.cos(turned)));
  const resized = grown >= RESIZED || grown <= 1 / RESIZED;
  return apart > MOVED * window.side || resized || turn > (TURNED_DEG * Math.PI) / 180;
}

function pairs(values) {
  return rows(values, 2);
}

function rows(values, width) {
  const row = (k) => Array.from(values.slice(width * k, width * (k + 1)));
  return Array.from({ length: values.length / width }, (_, k) => row(k));
}

function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
