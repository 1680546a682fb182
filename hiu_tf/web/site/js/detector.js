/** Finds all hands of a picture: letterbox, network, centre maps. See hiu_tf/runtime/detector.py. */

import { overlap, shared } from "./boxes.js";
import { decode, foundInPicture, SAME_HAND, STRIDE } from "./centres.js";
import { letterbox } from "./letterbox.js";

/** A box of which more than this lies in a surer one shows the same hand. */
export const INSIDE = 0.8;

/** The hands of a picture {data: RGBA, width, height}, the surest first, in its pixels. */
export async function findHands(picture, network, card, most) {
  const size = card.image_size;
  const { values, where } = letterbox(picture, size);
  const { hands: maps } = await network(values);
  const chosen = [];
  for (const inSquare of decode(maps, size / STRIDE, card.min_score, most)) {
    const hand = foundInPicture(inSquare, where);
    const isNew = ({ box }) => overlap(hand.box, box) <= SAME_HAND && shared(hand.box, box) <= INSIDE;
    if (chosen.every(isNew)) chosen.push(hand);
  }
  return chosen;
}
