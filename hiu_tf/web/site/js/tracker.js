/** Follows hands from frame to frame: each where it was, new ones by the detector. See hiu_tf/runtime/tracker.py. */

import { boxOf, shared } from "./boxes.js";
import { different, leftOdds, logOdds } from "./predictor.js";
import { aroundHand, otherSide } from "./window.js";

/** The detector looks at every so many frames; at every frame while nothing is followed. */
export const LOOK_EVERY = 6;
/** Share of the score threshold that the joints' score of a followed hand must reach by itself. */
export const JOINTS = 0.7;
/** A hand whose box changes its side by more than this was lost, not seen. */
export const MOST_GROWTH = 1.6;
/** A hand that is found is one that is followed already where the smaller of their boxes lies in the other so much. */
export const KNOWN = 0.4;
/** A hand that appears beside others is shown once it was seen in so many frames. */
export const PROBATION = 3;
/**
 * A track's side changes if the sum of its log odds over frames falls below the first. The sum never exceeds the second,
 * a frame's share the third.
 */
export const WRONG_SIDE = -6;
export const MOST_ODDS = 10;
export const MOST_OF_FRAME = 2;
/** So many frames in a row must show nothing before a hand is given up. */
export const PATIENCE = 2;

export class Tracker {
  /** @param most hands at the same time. */
  constructor(predictor, most) {
    this.predictor = predictor;
    this.most = most;
    this.tracks = [];
    this.frame = 0;
    this.born = 0;
  }

  /** The hands of the next frame {data: RGBA, width, height}, each with its `id`, the longest followed first. */
  async next(picture) {
    let hands = await this.followed(picture);
    if (!this.tracks.length) {
      hands = hands.concat(this.begun(await this.found(picture), PROBATION));
    } else if (this.frame % LOOK_EVERY === 0 && this.tracks.length < this.most) {
      this.begun(await this.found(picture), 1);
    }
    this.frame += 1;
    return hands;
  }

  async followed(picture) {
    for (const track of this.tracks) {
      const hand = await this.predictor.read(picture, [track.window], 0, track.shape);
      const window = aroundHand(hand.joints_2d, hand.crop, this.predictor.scale);
      const growth = window.side / track.window.side;
      const steady = growth > 1 / MOST_GROWTH && growth < MOST_GROWTH && isIn(hand, picture);
      const isSeen = hand.score >= JOINTS * this.predictor.card.min_score && steady;
      track.hand = isSeen ? { ...hand, id: track.id } : null;
      track.missed = isSeen ? 0 : track.missed + 1;
      if (isSeen) {
        Object.assign(track, { window, seen: track.seen + 1 });
        doubt(track, hand);
      }
    }
    const alone = different(this.tracks.map((track) => track.hand).filter(Boolean));
    const goesOn = (track) => (track.hand ? alone.includes(track.hand) : track.missed < PATIENCE);
    this.tracks = this.tracks.filter(goesOn);
    return this.tracks.filter((track) => track.hand && track.seen >= PROBATION).map((track) => track.hand);
  }

  /** Hands that the detector finds and nobody follows yet. */
  async found(picture) {
    const known = this.tracks.map((track) => windowBox(track.window, this.predictor.scale));
    const isNew = (box) => known.every((other) => shared(box, other) < KNOWN);
    const hands = [];
    for (const one of await this.predictor.find(picture, 2 * this.most)) {
      if (!isNew(one.box)) continue;
      const hand = await this.predictor.read(picture, this.predictor.windows(one), leftOdds(one));
      if (hand.score >= JOINTS * this.predictor.card.min_score && isNew(boxOf(hand.joints_2d))) hands.push(hand);
    }
    return different(hands).slice(0, this.most - this.tracks.length);
  }

  /** Begins to follow hands that count as seen in so many frames; gives them with their numbers. */
  begun(hands, seen) {
    return hands.map((hand) => {
      const id = ++this.born;
      const window = aroundHand(hand.joints_2d, hand.crop, this.predictor.scale);
      this.tracks.push({ id, window, seen, missed: 0, odds: 0, hand: null, shape: new MeanShape() });
      return { ...hand, id };
    });
  }
}

/** Reads a hand as the other side from the next frame on, if the network has contradicted its side long enough. */
function doubt(track, { side_score: score }) {
  if (score === null) return;
  const odds = Math.min(Math.max(logOdds(score), -MOST_OF_FRAME), MOST_OF_FRAME);
  track.odds = Math.min(track.odds + odds, MOST_ODDS);
  if (track.odds < WRONG_SIDE) Object.assign(track, { window: otherSide(track.window), odds: 0, shape: new MeanShape() });
}

/** The mean shape of one hand over all frames so far, weighted by their scores. See hiu_tf/runtime/smoothing.py. */
export class MeanShape {
  constructor() {
    this.sum = null;
    this.weight = 0;
  }

  /** Adds the shape of the next frame; gives the mean. */
  mean(shape, score) {
    const weight = Math.max(score, 1e-6);
    this.sum = Array.from(shape, (value, k) => (this.sum ? this.sum[k] : 0) + weight * value);
    this.weight += weight;
    return this.sum.map((value) => value / this.weight);
  }
}

function windowBox({ centre: [x, y], side }, scale) {
  return [x - side / scale / 2, y - side / scale / 2, side / scale, side / scale];
}

/** Whether the middle of the hand is in the picture. */
function isIn(hand, picture) {
  const [x, y, width, height] = boxOf(hand.joints_2d);
  const [across, down] = [x + width / 2, y + height / 2];
  return across >= 0 && across < picture.width && down >= 0 && down < picture.height;
}
