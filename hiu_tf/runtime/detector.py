"""Detects all hands of a picture: letterbox, network, centre maps. NumPy + OpenCV + an interpreter."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hiu_tf.codecs.centres import SAME_HAND, Found, decode, found_in_picture, overlap, shared
from hiu_tf.geometry.letterbox import letterbox
from hiu_tf.runtime.backend import load_file
from hiu_tf.runtime.card import FILES, ModelError
from hiu_tf.runtime.crop import to_float

#: Name of the network's output.
MAPS = "hands"
#: Tiles of the thorough detection: side relative to the picture's longer side, and overlap relative to a tile's side.
_TILE, _OVERLAP = 0.4, 0.3
#: Two boxes are the same hand if more than this share of the smaller one lies in the other.
_INSIDE = 0.8
#: Hands nearer to an inner edge of a tile than this share of its side are left to the neighbouring tile.
_EDGE = 0.02
#: The look at a given box: side relative to the box's longer side, minimum score and overlap of its hand.
_AROUND, _DOUBTFUL, _OVERLAPPING = 2.2, 0.05, 0.3
_SEVERAL = 5  # hands of which it chooses


class Detector:
    """The hand detector. Thread-safe: threads that share one take turns.

    Args:
      path: .tflite or .onnx file, written by hiu_tf/programs/detector.py.
      threads: number of threads of the interpreter.

    Raises:
      ModelError: there is no such model, or it is not a detector.
    """

    def __init__(self, path: str | Path, threads: int = 2):
        if Path(path).suffix not in FILES:
            raise ModelError(f"a detector is a .tflite or .onnx file, got {path}")
        self._network, self.card, self.engine = load_file(Path(path), threads, kind="detector")
        if MAPS not in self.card["outputs"]:
            raise ModelError(f"{path} finds no hands: it is a model named {self.card['name']}, not a detector")
        self.size = self.card["image_size"]

    def find(
        self, picture: np.ndarray, min_score: float | None = None, most: int = 20, thorough: bool = False
    ) -> list[Found]:
        """Detects the hands of a picture. Returns them in descending order of score, in pixels of the picture.

        Args:
          picture: [H, W, 3] uint8, RGB.
          min_score: score threshold; None: the one of the model's card.
          most: maximum number of hands.
          thorough: also detect in overlapping tiles of the picture, to find small hands.
        """
        least = self.card["min_score"] if min_score is None else min_score
        found = self._look(picture, least, most)
        if thorough:
            found += [hand for part in _tiles(*picture.shape[:2]) for hand in self._look_at(picture, part, least, most)]
        chosen = []
        for hand in sorted(found, key=lambda hand: -hand.score):
            if all(
                overlap(hand.box, b) <= SAME_HAND and shared(hand.box, b) <= _INSIDE for b in (o.box for o in chosen)
            ):
                chosen.append(hand)
        return chosen[:most]

    def near(self, picture: np.ndarray, box: tuple) -> Found | None:
        """The hand of a given box (x, y, width, height), detected in the picture around it; None if there is none."""
        x, y, width, height = box
        half = 0.5 * _AROUND * max(width, height)
        middle = np.array([x + 0.5 * width, y + 0.5 * height])
        left, top = np.maximum(middle - half, 0).astype(int).tolist()
        right, bottom = np.minimum(middle + half + 1, picture.shape[1::-1]).astype(int).tolist()
        found = self._moved(picture, (left, top, right, bottom), _DOUBTFUL, _SEVERAL)
        there = [hand for hand in found if overlap(hand.box, box) > _OVERLAPPING]
        return max(there, key=lambda hand: hand.score * overlap(hand.box, box), default=None)

    def _look(self, picture, least, most):
        square, where = letterbox(picture, self.size)
        maps = self._network(to_float(square)[np.newaxis])[MAPS][0]
        return [found_in_picture(hand, where) for hand in decode(maps, least, most)]

    def _look_at(self, picture, part, least, most):
        """Yields the hands of one tile (left, top, right, bottom), except those that its edges cut off."""
        left, top, right, bottom = part
        edge = _EDGE * max(right - left, bottom - top)
        height, width = picture.shape[:2]
        low = np.array([left + edge if left else -np.inf, top + edge if top else -np.inf])
        high = np.array([right - edge if right < width else np.inf, bottom - edge if bottom < height else np.inf])
        for hand in self._moved(picture, part, least, most):
            x, y, w, h = hand.box
            if np.all(low <= (x, y)) and np.all((x + w, y + h) <= high):
                yield hand

    def _moved(self, picture, part, least, most):
        """The hands of a part (left, top, right, bottom), in pixels of the picture."""
        left, top, right, bottom = part
        found = self._look(picture[top:bottom, left:right], least, most)
        return [hand._replace(box=(hand.box[0] + left, hand.box[1] + top, *hand.box[2:])) for hand in found]


def _tiles(height, width):
    """(left, top, right, bottom) of squares that cover the picture."""
    side = max(2, round(_TILE * max(height, width)))
    for top in _starts(height, side):
        for left in _starts(width, side):
            yield left, top, min(left + side, width), min(top + side, height)


def _starts(length, side):
    if length <= side:
        return [0]
    count = 1 + int(np.ceil((length - side) / (side * (1 - _OVERLAP))))
    return [round(start) for start in np.linspace(0, length - side, count)]
