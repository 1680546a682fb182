"""Steadies a hand in a clip: its points by a One-Euro filter (Casiez et al. 2012), its shape by the mean over all frames."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from hiu_tf.conventions.skeleton import NUM_JOINTS
from hiu_tf.geometry.window import box_of

if TYPE_CHECKING:
    from hiu_tf.runtime.prediction import Prediction

#: Cut-off frequency at rest, Hz, at strengths 0 and 1; increase of the cut-off at a speed of one hand size per second.
_RESTING, _MOVING = (8.0, 0.7), 5.0
#: Cut-off frequency of the filter of the velocity, Hz.
_SPEED = 1.5
_FIELDS = ("joints_2d", "joints_2d_projected", "vertices_2d", "joints_3d", "vertices")


class Smoother:
    """The filter of one hand. All points of a frame have the same weight, so that skeleton and mesh stay together.

    Pose, rotation, translation and mask are not filtered.

    Args:
      rate: frames per second.
      strength: from 0 (no smoothing) to 1.
    """

    def __init__(self, rate: float, strength: float):
        self._rate, self._strength = rate, strength
        self._last: Prediction | None = None
        self._seen, self._velocity = None, np.zeros((NUM_JOINTS, 2))

    def __call__(self, hand: Prediction) -> Prediction:
        """Returns the smoothed hand of the next frame."""
        joints, before, self._seen = hand.joints_2d, self._seen, hand.joints_2d
        if self._strength and self._last is not None and _is_alike(hand, self._last):
            size = max(box_of(joints)[2:])
            # Takes the norm of the filtered velocity, not the filtered norm, so that jitter averages out.
            self._velocity += _share(_SPEED, self._rate) * (self._rate * (joints - before) - self._velocity)
            speed = np.linalg.norm(self._velocity, axis=1).mean() / max(size, 1.0)
            share = _share(resting_cutoff(self._strength) + _MOVING * speed, self._rate)
            mix = lambda name: getattr(self._last, name) + share * (getattr(hand, name) - getattr(self._last, name))
            hand = replace(hand, **{name: mix(name) for name in _FIELDS})
        self._last = hand
        return hand


class MeanShape:
    """The shape of one hand: the mean of beta over all frames so far, weighted by their scores."""

    def __init__(self):
        self._sum, self._weight = 0.0, 0.0

    def __call__(self, shape: np.ndarray, score: float) -> np.ndarray:
        """Adds beta [10] of the next frame, whose joints have this mean score. Returns the mean."""
        weight = max(score, 1e-6)
        self._sum, self._weight = self._sum + weight * shape, self._weight + weight
        return self._sum / self._weight


def resting_cutoff(strength: float) -> float:
    """Cut-off frequency of a hand at rest, Hz, for a strength from 0 to 1."""
    return _RESTING[0] ** (1 - strength) * _RESTING[1] ** strength


def _is_alike(hand, last):
    """Whether two hands may be mixed: the same side in the same frame of axes."""
    return (hand.frame, hand.side) == (last.frame, last.side)


def _share(cutoff, rate):
    """Weight of the new value in a first-order low-pass filter with this cut-off."""
    return 1 / (1 + rate / (2 * math.pi * cutoff))
