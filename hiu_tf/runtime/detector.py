"""Finds all hands of a picture: letterbox, network, centre maps. NumPy + OpenCV + a TFLite interpreter."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hiu_tf.codecs.centres import SAME_HAND, Found, decode, found_in_picture, overlap, shared
from hiu_tf.geometry.letterbox import letterbox
from hiu_tf.runtime.backend import load_tflite
from hiu_tf.runtime.card import ModelError

#: Name of the network's output.
MAPS = "hands"
#: A closer look cuts the picture into squares of this share of its longer side that overlap by this share of a square.
_TILE, _OVERLAP = 0.4, 0.3
#: A box of which more than this lies in a surer one shows the same hand.
_INSIDE = 0.8
#: Hands that a tile cuts off are left to its neighbour: those nearer to an inner edge than this share of its side.
_EDGE = 0.02


class Detector:
    """The network that finds hands. Threads may share one: they take turns.

    Args:
      path: .tflite file, from hiu_tf.programs/detector.py.
      threads: of the interpreter.

    Raises:
      ModelError: there is no such model, or it is no detector.
    """

    def __init__(self, path: str | Path, threads: int = 2):
        if Path(path).suffix != ".tflite":
            raise ModelError(f"a detector is a .tflite file, got {path}")
        self._network, self.card, self.engine = load_tflite(Path(path), threads, kind="detector")
        if MAPS not in self.card["outputs"]:
            raise ModelError(f"{path} finds no hands: it is a model named {self.card['name']}, not a detector")
        self.size = self.card["image_size"]

    def find(
        self, picture: np.ndarray, min_score: float | None = None, most: int = 20, thorough: bool = False
    ) -> list[Found]:
        """The hands of a picture, the surest first, in its pixels.

        Args:
          picture: [H, W, 3] uint8, RGB.
          min_score: what scores less is left out; None: what the model's card says.
          most: so many hands at most.
          thorough: also looks at overlapping parts of the picture, for hands that are small in it.
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

    def _look(self, picture, least, most):
        square, where = letterbox(picture, self.size)
        maps = self._network(square[np.newaxis].astype(np.float32) / 255.0)[MAPS][0]
        return [found_in_picture(hand, where) for hand in decode(maps, least, most)]

    def _look_at(self, picture, part, least, most):
        """Hands of one part (left, top, right, bottom), but for those that it cuts off."""
        left, top, right, bottom = part
        edge = _EDGE * max(right - left, bottom - top)
        height, width = picture.shape[:2]
        low = np.array([left + edge if left else -np.inf, top + edge if top else -np.inf])
        high = np.array([right - edge if right < width else np.inf, bottom - edge if bottom < height else np.inf])
        for hand in self._look(picture[top:bottom, left:right], least, most):
            x, y, w, h = hand.box
            x, y = x + left, y + top
            if np.all(low <= (x, y)) and np.all((x + w, y + h) <= high):
                yield hand._replace(box=(x, y, w, h))


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
