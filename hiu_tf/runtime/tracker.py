"""Follows hands from frame to frame: each where it was, new ones by the detector every few frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hiu_tf.codecs.centres import overlap
from hiu_tf.geometry.window import Window, around_hand, box_of
from hiu_tf.runtime.predictor import MOST_HANDS, Prediction, Predictor, different

#: The detector looks at every so many frames; at every frame while nothing is followed.
_LOOK_EVERY = 6
#: A hand whose box changes its side by more than this from one frame to the next was lost, not seen.
_MOST_GROWTH = 1.6
#: A hand that the detector finds is one that is followed already where their boxes share this.
_KNOWN = 0.3
#: So many frames in a row must show nothing before a hand is given up.
_PATIENCE = 2


@dataclass
class _Track:
    number: int
    window: Window
    missed: int = 0


class Tracker:
    """Hands of a clip with numbers that stay theirs.

    Args:
      predictor: what finds and reads hands.
      side: of all hands, where it is known.
      K: [3, 3] intrinsics, as in `Predictor.predict`.
      min_score: a hand that scores less is not there; None: what the model's card says.
      most: so many hands at most.
      box: of the one hand in the first frame; then no others are looked for until it is lost.
    """

    def __init__(
        self, predictor: Predictor, side: str | None = None, K=None, min_score: float | None = None,
        most: int = MOST_HANDS, box=None,
    ):  # fmt: skip
        self._predictor, self._side, self._K, self._most, self._box = predictor, side, K, most, box
        self._least = predictor.card["min_score"] if min_score is None else min_score
        self._tracks: list[_Track] = []
        self._frame, self._born = 0, 0

    def __call__(self, picture: np.ndarray) -> list[tuple[int, Prediction]]:
        """(number, hand) of each hand of the next frame [H, W, 3] uint8 RGB, the longest followed first."""
        hands = self._followed(picture)
        if self._box is not None and not self._frame:
            hands += self._new([self._predictor.predict(picture, self._box, self._side, self._K)[0]])
        elif not self._tracks or (self._box is None and self._frame % _LOOK_EVERY == 0 and len(hands) < self._most):
            hands += self._new(self._found(picture, [hand for _, hand in hands]))
        self._frame += 1
        return hands

    def _followed(self, picture):
        hands, kept = {}, []
        for track in self._tracks:
            hand = self._predictor.read(picture, [track.window], self._K)
            next_window = around_hand(hand.joints_2d, hand.crop, self._predictor.scale)
            growth = next_window.side / track.window.side
            steady = 1 / _MOST_GROWTH < growth < _MOST_GROWTH and _is_in(hand, picture)
            if hand.score >= self._least and steady:
                track.window, track.missed = next_window, 0
                hands[track.number] = hand
            else:
                track.missed += 1
            if track.missed < _PATIENCE:
                kept.append(track)
        alone = different(list(hands.values()))
        hands = {number: hand for number, hand in hands.items() if any(hand is other for other in alone)}
        self._tracks = [track for track in kept if track.missed or track.number in hands]
        return sorted(hands.items())

    def _found(self, picture, known):
        """Hands that the detector finds and nobody follows yet."""
        boxes = [box_of(hand.joints_2d) for hand in known]
        new = []
        for found in self._predictor.detector.find(picture, most=self._most):
            if len(known) + len(new) < self._most and all(overlap(found.box, box) < _KNOWN for box in boxes):
                hand = self._predictor.read(picture, self._predictor.windows(found, self._side), self._K)
                if hand.score >= self._least:
                    new.append(hand)
        return [hand for hand in different([*known, *new]) if any(hand is other for other in new)]

    def _new(self, hands):
        """Begins to follow them."""
        for hand in hands:
            self._born += 1
            window = around_hand(hand.joints_2d, hand.crop, self._predictor.scale)
            self._tracks.append(_Track(self._born, window))
        return [(track.number, hand) for track, hand in zip(self._tracks[len(self._tracks) - len(hands) :], hands)]


def _is_in(hand, picture):
    """Whether the middle of the hand is in the picture."""
    x, y, width, height = box_of(hand.joints_2d)
    middle = x + width / 2, y + height / 2
    return 0 <= middle[0] < picture.shape[1] and 0 <= middle[1] < picture.shape[0]
