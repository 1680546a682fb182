"""The hands of a scene as rows [N, 8] (hiu_tf/codecs/centres.py): from samples, at edges, behind other hands, mirrored."""

from __future__ import annotations

import numpy as np

from hiu_tf.conventions.skeleton import Joint
from pipelines.schema import LEFT, UNKNOWN, Sample

#: Hands are ignored if a smaller share of them lies inside the picture, or is not hidden by other hands.
LEAST_VISIBLE = 0.45


def box_of_sample(sample: Sample) -> np.ndarray:
    """Tight box [4] (x, y, width, height) of a sample's labelled joints, in its picture."""
    points = sample.joints_2d[sample.joints_2d_weight > 0]
    low = points.min(axis=0)
    return np.array([*low, *np.maximum(points.max(axis=0) - low, 2.0)])


def placed_joints(sample: Sample, affine: np.ndarray) -> np.ndarray:
    """Labelled joints [K, 2] of a sample in the square, to which the affine [2, 3] maps its picture."""
    return _moved(sample, affine)[sample.joints_2d_weight > 0]


def row_of_sample(sample: Sample, affine: np.ndarray) -> np.ndarray:
    """The row [8] of a sample's hand in the square."""
    points, known = _moved(sample, affine), sample.joints_2d_weight > 0
    low, high = points[known].min(axis=0), points[known].max(axis=0)
    direction = direction_of(points, known, max(high - low))
    return np.array([*low, *np.maximum(high - low, 1.0), *direction, sample.side, 1], np.float32)


def direction_of(points: np.ndarray, known: np.ndarray, longer: float) -> np.ndarray:
    """Unit vector [2] wrist -> middle finger; 0, 0 where a joint is unknown or both are one behind the other.

    Args:
      points: [21, 2] joints.
      known: [21] bool, whether the joint is labelled.
      longer: longer side of the hand's box.
    """
    if not known[[Joint.WRIST, Joint.MIDDLE1]].all():
        return np.zeros(2)
    direction = points[Joint.MIDDLE1] - points[Joint.WRIST]
    length = float(np.linalg.norm(direction))
    return direction / length if length > 0.1 * longer else np.zeros(2)


def inside(hand: np.ndarray, frame: np.ndarray) -> float:
    """Share of a hand's box inside the frame [left, top, right, bottom]."""
    low = np.maximum(hand[:2], frame[:2])
    high = np.minimum(hand[:2] + hand[2:4], frame[2:])
    return float(np.prod(np.maximum(high - low, 0)) / np.prod(hand[2:4]))


def clipped(hands: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """Clips boxes at the frame; marks hands that are mostly outside as ignored and drops those fully outside."""
    rows = []
    for hand in hands:
        visible = inside(hand, frame)
        if visible <= 0.02:
            continue
        low, high = np.maximum(hand[:2], frame[:2]), np.minimum(hand[:2] + hand[2:4], frame[2:])
        rows.append([*low, *(high - low), *hand[4:7], hand[7] * (visible >= LEAST_VISIBLE)])
    return np.reshape(np.array(rows, np.float32), (-1, 8))


def without_hidden(hands: np.ndarray, joints: list[np.ndarray], covers: list[np.ndarray]) -> np.ndarray:
    """Marks the hands as ignored that later ones mostly cover.

    Args:
      hands: [N, 8], in the order in which they were pasted.
      joints: N arrays [K, 2] of joints in pixels.
      covers: N opacities [S, S] uint8 of what was pasted.
    """
    hands = hands.copy()
    for n, points in enumerate(joints):
        column, row = np.clip(np.round(points).astype(int), 0, len(covers[n]) - 1).T
        hidden = np.any([cover[row, column] > 127 for cover in covers[n + 1 :]] or [np.zeros(len(points))], axis=0)
        hands[n, 7] *= 1 - hidden.mean() >= LEAST_VISIBLE
    return hands


def mirrored(hands: np.ndarray, size: int) -> np.ndarray:
    """The hands of the mirrored square of side `size`: left hands become right ones."""
    hands = hands.copy()
    hands[:, 0] = size - 1 - hands[:, 0] - hands[:, 2]
    hands[:, 4] *= -1
    hands[:, 6] = np.where(hands[:, 6] == UNKNOWN, UNKNOWN, LEFT - hands[:, 6])
    return hands


def _moved(sample, affine):
    """All joints [21, 2] of a sample in the square."""
    return sample.joints_2d @ affine[:, :2].T + affine[:, 2]
