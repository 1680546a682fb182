"""Tracks hands from frame to frame: predicts each near its last position, and detects new ones every few frames."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from hiu_tf.codecs.centres import shared
from hiu_tf.geometry.window import Window, around_hand, box_of
from hiu_tf.runtime.looks import MOST_HANDS, different, left_odds, log_odds
from hiu_tf.runtime.prediction import Hands
from hiu_tf.runtime.smoothing import MeanShape, Smoother

if TYPE_CHECKING:
    from hiu_tf.runtime.predictor import Predictor

#: Interval in frames between runs of the detector; it runs at every frame while no hand is tracked.
_LOOK_EVERY = 6
#: Share of the score threshold that the joints' score of a tracked hand must reach by itself.
_JOINTS = 0.7
#: A track whose box changes its side by more than this factor between two frames counts as missed.
_MOST_GROWTH = 1.6
#: A detection belongs to an existing track if this share of the smaller box lies in the other.
_KNOWN = 0.4
#: Number of frames in which a new hand must be seen before it is reported, if other hands are tracked.
_PROBATION = 3
#: A track's side changes if the sum of its log odds over frames falls below the first number. The sum never exceeds the
#: second, a frame's share the third: at least four frames must contradict.
_WRONG_SIDE, _MOST_ODDS, _MOST_OF_FRAME = -6.0, 10.0, 2.0
#: A track ends after this number of consecutive missed frames.
_PATIENCE = 2


@dataclass
class _Track:
    number: int
    window: Window
    seen: int
    missed: int = 0
    odds: float = 0.0
    shape: MeanShape = field(default_factory=MeanShape)


class Tracker:
    """Tracks the hands of a clip; each hand keeps its number.

    Args:
      predictor: a `Predictor`.
      side: side of all hands, if known.
      K: [3, 3] intrinsics, as in `Predictor.predict`.
      min_score: score threshold, of which the joints' score must reach 0.7; None: the one of the model's card.
      most: maximum number of hands.
      box: box of the only hand in the first frame; other hands are then detected only after it is lost.
    """

    def __init__(
        self, predictor: Predictor, side: str | None = None, K=None, min_score: float | None = None,
        most: int = MOST_HANDS, box=None,
    ):  # fmt: skip
        self._predictor, self._side, self._K, self._most, self._box = predictor, side, K, most, box
        self._least = _JOINTS * (predictor.card["min_score"] if min_score is None else min_score)
        self._tracks: list[_Track] = []
        self._frame, self._born = 0, 0

    @property
    def numbers(self) -> set[int]:
        """Numbers of all current tracks, including those missed in the last frame."""
        return {track.number for track in self._tracks}

    def __call__(self, picture: np.ndarray) -> Hands:
        """Processes the next frame [H, W, 3] uint8 RGB. Returns its hands with their numbers, oldest track first."""
        name = str(self._frame)
        hands = self._followed(picture)
        if self._box is not None and not self._frame:
            hands += self._begun([self._predictor.predict(picture, self._box, self._side, self._K)[0]], _PROBATION)
        elif not self._tracks:
            hands += self._begun(self._found(picture), _PROBATION)
        elif self._box is None and self._frame % _LOOK_EVERY == 0 and len(self._tracks) < self._most:
            self._begun(self._found(picture), 1)
        self._frame += 1
        return Hands((replace(hand, number=number) for number, hand in hands), picture, name)

    def _followed(self, picture):
        hands, kept = {}, []
        for track in self._tracks:
            hand = self._predictor.read(picture, [track.window], self._K, shape=track.shape)
            next_window = around_hand(hand.joints_2d, hand.crop, self._predictor.scale)
            growth = next_window.side / track.window.side
            steady = 1 / _MOST_GROWTH < growth < _MOST_GROWTH and _is_in(hand, picture)
            if hand.score >= self._least and steady:
                track.window, track.missed, track.seen = next_window, 0, track.seen + 1
                hands[track.number] = hand
                self._doubt(track, hand)
            else:
                track.missed += 1
            if track.missed < _PATIENCE:
                kept.append(track)
        alone = different(list(hands.values()))
        hands = {number: hand for number, hand in hands.items() if any(hand is other for other in alone)}
        self._tracks = [track for track in kept if track.missed or track.number in hands]
        told = {track.number for track in self._tracks if track.seen >= _PROBATION}
        return sorted((number, hand) for number, hand in hands.items() if number in told)

    def _doubt(self, track, hand):
        """Predicts a hand as the other side from the next frame on, if the network has contradicted its side long enough."""
        if self._side is None and hand.side_score is not None:
            odds = float(np.clip(log_odds(hand.side_score), -_MOST_OF_FRAME, _MOST_OF_FRAME))
            track.odds = min(track.odds + odds, _MOST_ODDS)
            if track.odds < _WRONG_SIDE:
                track.window, track.odds, track.shape = track.window.other_side(), 0.0, MeanShape()

    def _found(self, picture):
        """Detects and predicts hands that are not tracked yet."""
        known = [_box(track.window, self._predictor.scale) for track in self._tracks]
        new = []
        for found in self._predictor.detector.find(picture, most=2 * self._most):
            if all(shared(found.box, box) < _KNOWN for box in known):
                windows = self._predictor.windows(found, self._side)
                hand = self._predictor.read(picture, windows, self._K, left=left_odds(found))
                if hand.score >= self._least and all(shared(box_of(hand.joints_2d), box) < _KNOWN for box in known):
                    new.append(hand)
        return different(new)[: self._most - len(self._tracks)]

    def _begun(self, hands, seen):
        """Starts tracks for hands, which count as already seen in `seen` frames. Returns (number, hand) of each."""
        numbered = list(enumerate(hands, start=self._born + 1))
        self._born += len(hands)
        for number, hand in numbered:
            self._tracks.append(_Track(number, around_hand(hand.joints_2d, hand.crop, self._predictor.scale), seen))
        return numbered


def follow(
    predictor: Predictor, frames: Iterable[np.ndarray], rate: float = 25.0, smooth: float = 0.5, **options
) -> Iterator[Hands]:
    """Tracks the hands of consecutive frames and smooths each.

    Args:
      predictor: a `Predictor`.
      frames: yields [H, W, 3] uint8 RGB.
      rate: frames per second.
      smooth: strength of each hand's temporal filter, from 0 to 1 (runtime/smoothing.py).
      options: arguments of `Tracker`.

    Yields:
      The hands of each frame, with their numbers.
    """
    track, steady = Tracker(predictor, **options), defaultdict(lambda: Smoother(rate, smooth))
    for picture in frames:
        hands = track(picture)
        hands[:] = [steady[hand.number](hand) for hand in hands]
        for gone in steady.keys() - track.numbers:  # each keeps a whole prediction in memory
            del steady[gone]
        yield hands


def _box(window, scale):
    """The square box that a window surrounds."""
    side = window.side / scale
    return window.centre[0] - side / 2, window.centre[1] - side / 2, side, side


def _is_in(hand, picture):
    """Whether the middle of the hand is in the picture."""
    x, y, width, height = box_of(hand.joints_2d)
    middle = x + width / 2, y + height / 2
    return 0 <= middle[0] < picture.shape[1] and 0 <= middle[1] < picture.shape[0]
