"""Candidates for hands, the looks that the network takes at them, and which of them are hands of their own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hiu_tf.codecs.centres import Found, overlap
from hiu_tf.conventions import keys
from hiu_tf.geometry.window import Window, box_of_hand

#: Default for the maximum number of hands in a picture.
MOST_HANDS = 8
#: Two predictions whose boxes have a larger intersection over union are the same hand.
SAME_HAND = 0.6
#: Weight of the detector's score in that of a hand; the rest is the joints'. Chosen on training scenes: joints of hands
#: that an edge of the picture cuts off, or that hold something, are unsure, but the hands are there.
FOUND = 0.7
#: Log odds of its side above which a hand is not predicted as the other side too: of network and detector together, and
#: of the detector alone if the network has no task "side" (probability 0.95).
CONVINCED, SURE = 1.0, 2.94
#: A difference of scores (means over joints) that counts as one in log odds, for networks without the task "side".
#: Chosen on val: scores alone fail on hands across a table, the detector alone fails on turned hands.
ODDS = 0.03


class Candidate(NamedTuple):
    """A place where a hand may be.

    Attributes:
      picture: [H, W, 3] uint8, RGB.
      windows: one for each possible side, the likelier first.
      left: the detector's log odds of a left hand (`left_odds`).
      found: the detector's score; 1 for a hand that was given.
      detected: the detector's box (x, y, width, height), or None.
      number: of the picture in its batch.
    """

    picture: np.ndarray
    windows: list[Window]
    left: float = 0.0
    found: float = 1.0
    detected: tuple[float, float, float, float] | None = None
    number: int = 0


class Look(NamedTuple):
    """A prediction of a candidate through one of its windows, and the network's raw outputs."""

    candidate: Candidate
    window: Window
    raw: dict[str, np.ndarray]

    @property
    def score(self) -> float:
        """Mean confidence of the joints."""
        return float(self.raw[keys.SCORES].mean())

    @property
    def evidence(self) -> float:
        """How likely the hand has the side of the window: log odds, to be compared with the other side's."""
        own = log_odds(float(self.raw[keys.RIGHT])) if keys.RIGHT in self.raw else 2 * self.score / ODDS
        left = self.candidate.left
        return own + (left if self.window.mirrored else -left)

    @property
    def is_convinced(self) -> bool:
        """Whether the other side need not be tried."""
        return self.evidence > CONVINCED if keys.RIGHT in self.raw else abs(self.candidate.left) > SURE

    @property
    def box(self) -> tuple[float, float, float, float]:
        """x, y, width and height in pixels of the picture: around the joints, and halfway to the detector's box."""
        return box_of_hand(self.window.to_picture(self.raw[keys.JOINTS_2D]), self.candidate.detected)


def different(hands: Sequence) -> list:
    """Removes duplicates: predictions or looks that overlap one with a higher score. Descending order of score."""
    kept = []
    for hand in sorted(hands, key=lambda hand: hand.score, reverse=True):
        if all(overlap(hand.box, other.box) <= SAME_HAND for other in kept):
            kept.append(hand)
    return kept


def together(found: float, read: float) -> float:
    """Combined score of a hand: weighted geometric mean of the detector's score and the network's (mean over joints)."""
    return found**FOUND * read ** (1 - FOUND)


def left_odds(hand: Found) -> float:
    """The detector's log odds that a hand is a left one."""
    return log_odds(hand.left)


def log_odds(probability: float) -> float:
    """Logarithm of p / (1 - p), finite for 0 and 1."""
    probability = min(max(probability, 1e-6), 1 - 1e-6)
    return math.log(probability / (1 - probability))
