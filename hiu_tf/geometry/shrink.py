"""Shrinks pictures by averaging blocks of pixels. OpenCV."""

from __future__ import annotations

import cv2
import numpy as np


def halved(picture: np.ndarray, times: int) -> np.ndarray:
    """Halves a picture [H, W, C] repeatedly, until a side is 1. An odd last row or column is left out each time.

    OpenCV averages blocks of 2x2 with SIMD instructions, others one by one.
    """
    for _ in range(times):
        height, width = picture.shape[0] // 2, picture.shape[1] // 2
        if not (height and width):
            break
        picture = cv2.resize(picture[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA)
    return picture


def shrunk(picture: np.ndarray, factor: int) -> np.ndarray:
    """Averages blocks of factor x factor pixels; H and W must be multiples of the factor."""
    times = (factor & -factor).bit_length() - 1
    picture, rest = halved(picture, times), factor >> times
    if rest == 1:
        return picture
    return cv2.resize(picture, (picture.shape[1] // rest, picture.shape[0] // rest), interpolation=cv2.INTER_AREA)


def smaller(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    """Resizes a picture to a smaller size. If it shrinks eightfold or more, it is halved first, down to at least fourfold."""
    factor = min(picture.shape[1] / width, picture.shape[0] / height)
    picture = halved(picture, max(0, int(np.log2(factor)) - 2))
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
