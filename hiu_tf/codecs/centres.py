"""Hands <-> centre maps (after CenterNet, Zhou et al. 2019): a peak for each hand, and its attributes at the peak.

A table of hands [N, 8] has the columns `COLUMNS`: box x, y, width, height in pixels of the square; unit direction
wrist -> middle finger (0, 0: unknown); side (0 right, 1 left, -1 unknown); and whether the hand counts (0: the loss
ignores its box). Maps have one cell per STRIDE pixels. The channels are named below.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from hiu_tf.geometry.letterbox import Letterbox

STRIDE = 4
COLUMNS = ("x", "y", "width", "height", "direction_x", "direction_y", "side", "counts")
#: Channels of the network's output [G, G, 8]: logit of the centre; offset from the cell's middle to the box's middle,
#: in cells; log width and log height of the box in cells; direction (its length is its confidence); logit of "left".
CENTRE, OFFSET, SIZE, DIRECTION, LEFT = 0, slice(1, 3), slice(3, 5), slice(5, 7), 7
CHANNELS = 8
#: Logit added to the network's centre output, so that an untrained network (output 0) predicts almost no hands.
PRIOR_LOGIT = -4.6
#: Standard deviation of the Gaussian at a centre, relative to the box's sides, and its minimum in cells.
_BLOB, _LEAST_BLOB = 0.08, 0.7
#: Two boxes with a larger intersection over union are the same hand.
SAME_HAND = 0.4


class Found(NamedTuple):
    """One detected hand: box (x, y, width, height), unit direction [2], probability of "left", score."""

    box: tuple[float, float, float, float]
    direction: np.ndarray
    left: float
    score: float


def encode(hands: np.ndarray, cells: int) -> dict[str, np.ndarray]:
    """Encodes the hands of one square as training targets.

    Args:
      hands: [N, 8], see `COLUMNS`, pixels.
      cells: G, number of cells along each side of the maps.

    Returns:
      "centre" [G, G]: 1 at a hand's centre, falling off around it; "centre_weight" [G, G]: 0 in ignored cells;
      "box" [G, G, 4]: offset and log sizes, as the network predicts them; "direction" [G, G, 2]; "left" [G, G];
      "box_weight", "direction_weight", "left_weight" [G, G]: above 0 near the centres of hands that have the label.
    """
    centre, nothing = np.zeros((cells, cells), np.float32), np.ones((cells, cells), np.float32)
    box, direction = np.zeros((cells, cells, 4), np.float32), np.zeros((cells, cells, 2), np.float32)
    left, weight = np.zeros((cells, cells), np.float32), np.zeros((3, cells, cells), np.float32)
    ys, xs = np.mgrid[:cells, :cells].astype(np.float32)
    for x, y, width, height, *rest in hands:
        middle = np.array([x + width / 2, y + height / 2]) / STRIDE + 0.5 / STRIDE - 0.5  # in cells: 0 is the first's
        size = np.maximum(np.array([width, height]) / STRIDE, 0.5)
        across, along, side, counts = rest
        if not counts:
            inside = (np.abs(xs - middle[0]) < size[0] / 2 + 1) & (np.abs(ys - middle[1]) < size[1] / 2 + 1)
            nothing[inside] = 0
            continue
        cell = np.clip(np.round(middle), 0, cells - 1).astype(int)
        spread = np.maximum(_BLOB * size, _LEAST_BLOB)
        blob = np.exp(-0.5 * (((xs - cell[0]) / spread[0]) ** 2 + ((ys - cell[1]) / spread[1]) ** 2))
        mine = (blob > 0.3) & (blob > centre)
        centre = np.maximum(centre, blob)
        box[mine] = np.stack(
            [*(middle - np.stack([xs, ys], axis=-1)[mine]).T, *np.full((2, mine.sum()), np.log(size)[:, None])], axis=-1
        )
        direction[mine], left[mine] = (across, along), side == 1
        known = np.array([1.0, across != 0 or along != 0, side >= 0], np.float32)
        weight[:, mine] = known[:, None] * blob[mine] / max(blob[mine].sum(), 1e-6)
    return {
        "centre": centre,
        "centre_weight": np.maximum(nothing, centre == 1),
        "box": box,
        "direction": direction,
        "left": left,
        "box_weight": weight[0],
        "direction_weight": weight[1],
        "left_weight": weight[2],
    }


def decode(maps: np.ndarray, least_score: float, most: int = 20) -> list[Found]:
    """Decodes maps [G, G, 8] to hands in pixels of the square, in descending order of score.

    Args:
      maps: the network's output.
      least_score: hands with a lower score are dropped.
      most: maximum number of hands.
    """
    score = 1 / (1 + np.exp(-np.clip(maps[..., CENTRE].astype(np.float32) + PRIOR_LOGIT, -50, 50)))
    around = cv2.dilate(score, np.ones((3, 3), np.uint8))
    rows, columns = np.nonzero((score >= around) & (score >= least_score))
    order = np.argsort(-score[rows, columns], kind="stable")
    found = []
    for row, column in zip(rows[order], columns[order]):
        hand = _hand(maps[row, column], (column, row), float(score[row, column]))
        if all(overlap(hand.box, other.box) <= SAME_HAND for other in found):
            found.append(hand)
        if len(found) == most:
            break
    return found


def found_in_picture(hand: Found, where: Letterbox) -> Found:
    """Converts a hand from pixels of the square to pixels of the picture."""
    x, y, width, height = hand.box
    left, top = where.to_picture(np.array([x, y]))
    return hand._replace(box=(float(left), float(top), width / where.scale, height / where.scale))


def hands_in_square(hands: np.ndarray, where: Letterbox) -> np.ndarray:
    """Converts hands [N, 8] from pixels of the picture to pixels of the square."""
    hands = hands.copy()
    hands[:, :2] = where.to_square(hands[:, :2])
    hands[:, 2:4] *= where.scale
    return hands


def overlap(a, b) -> float:
    """Intersection over union of two boxes (x, y, width, height)."""
    both = _intersection(a, b)
    return both / max(a[2] * a[3] + b[2] * b[3] - both, 1e-9)


def shared(a, b) -> float:
    """Intersection of two boxes (x, y, width, height) as a share of the smaller one's area."""
    return _intersection(a, b) / max(min(a[2] * a[3], b[2] * b[3]), 1e-9)


def _intersection(a, b):
    wide = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    high = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    return max(wide, 0.0) * max(high, 0.0)


def _hand(values, cell, score):
    x, y = (values[OFFSET] + cell + 0.5 - 0.5 / STRIDE) * STRIDE
    width, height = STRIDE * np.exp(np.clip(values[SIZE], -4, 8))
    direction = values[DIRECTION] / max(float(np.linalg.norm(values[DIRECTION])), 1e-6)
    left = 1 / (1 + np.exp(-np.clip(values[LEFT], -50, 50)))
    return Found(
        (float(x - width / 2), float(y - height / 2), float(width), float(height)), direction, float(left), score
    )
