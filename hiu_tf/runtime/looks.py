"""Candidates for hands, the looks that the network takes at them, and which of them are hands of their own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hiu_tf.codecs.centres import Found, overlap
from hiu_tf.conventions import keys
from hiu_tf.geometry.window import Window, box_of

#: Default for the maximum number of hands in a picture.
MOST_HANDS = 8
#: Two predictions whose boxes have a larger intersection over union are the same hand.
SAME_HAND = 0.6
#: The detector's log odds of a left hand times this number are added to the scores. Chosen on val: scores alone fail on
#: hands across a table, the detector alone fails on turned hands.
ODDS = 0.03


class Candidate(NamedTuple):
    """A place where a hand may be.

    Attributes:
      picture: [H, W, 3] uint8, RGB.
      windows: candidate windows; the one with the highest score is used.
      left: added to the scores of mirrored windows (`left_odds`).
      found: the detector's score; 1 for a hand that was given.
      number: of the picture in its batch.
    """

    picture: np.ndarray
    windows: list[Window]
    left: float = 0.0
    found: float = 1.0
    number: int = 0


class Look(NamedTuple):
    """A candidate's prediction: the window with the highest score, and the network's outputs for it."""

    picture: np.ndarray
    window: Window
    raw: dict[str, np.ndarray]
    found: float
    number: int

    @property
    def score(self) -> float:
        """Mean confidence of the joints."""
        return float(self.raw[keys.SCORES].mean())

    @property
    def box(self) -> tuple[float, float, float, float]:
        """x, y, width and height around the joints, in pixels of the picture."""
        return box_of(self.window.to_picture(self.raw[keys.JOINTS_2D]))


def different(hands: Sequence) -> list:
    """Removes duplicates: predictions or looks that overlap one with a higher score. Descending order of score."""
    kept = []
    for hand in sorted(hands, key=lambda hand: hand.score, reverse=True):
        if all(overlap(hand.box, other.box) <= SAME_HAND for other in kept):
            kept.append(hand)
    return kept


def together(found: float, read: float) -> float:
    """Combined score of a hand: geometric mean of the detector's score and the network's (mean over joints)."""
    return math.sqrt(found * read)


def left_odds(hand: Found) -> float:
    """Weighted log odds of the detector that a hand is a left one, to be added to the score of a left hand."""
    left = min(max(hand.left, 1e-6), 1 - 1e-6)
    return ODDS * math.log(left / (1 - left))
