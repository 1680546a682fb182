"""Letterbox: a whole picture scaled to fit the detector's square input, centred, with black bars. NumPy + OpenCV."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from hiu_tf.geometry.shrink import smaller


@dataclass(frozen=True)
class Letterbox:
    """Position of a picture in the square.

    Attributes:
      scale: pixels of the square per pixel of the picture.
      offset: (x, y) of the picture's top left corner in the square, pixels.
      size: side of the square, pixels.
      shape: width and height of the picture in the square, whole pixels.
    """

    scale: float
    offset: tuple[float, float]
    size: int
    shape: tuple[int, int]

    def to_picture(self, points: np.ndarray) -> np.ndarray:
        """Pixels of the square [..., 2] -> pixels of the picture (pixel centres are whole numbers)."""
        return (np.asarray(points, float) + 0.5 - self.offset) / self.scale - 0.5

    def to_square(self, points: np.ndarray) -> np.ndarray:
        """Pixels of the picture [..., 2] -> pixels of the square."""
        return (np.asarray(points, float) + 0.5) * self.scale + self.offset - 0.5


def letterbox(picture: np.ndarray, size: int) -> tuple[np.ndarray, Letterbox]:
    """Makes the square [size, size, 3] uint8. Returns it and the picture's position in it."""
    height, width = picture.shape[:2]
    scale = size / max(height, width)
    shape = max(1, round(width * scale)), max(1, round(height * scale))
    left, top = (size - shape[0]) // 2, (size - shape[1]) // 2
    square = np.zeros((size, size, 3), np.uint8)
    resized = smaller(picture, *shape) if scale < 1 else cv2.resize(picture, shape, interpolation=cv2.INTER_LINEAR)
    square[top : top + shape[1], left : left + shape[0]] = resized
    return square, Letterbox(scale, (float(left), float(top)), size, shape)
