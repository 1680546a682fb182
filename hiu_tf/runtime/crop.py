"""Cuts the crop of a window out of a picture, and maps a mask back to the picture. NumPy + OpenCV."""

import cv2
import numpy as np

from hiu_tf.geometry.shrink import shrunk
from hiu_tf.geometry.window import Window

#: Pictures that shrink by more than this factor are averaged first, to avoid aliasing.
_SHRINK_AT, _MOST_SHRINK = 1.5, 16
#: Larger factors are multiples of 4, by which pictures shrink fast.
_FINE_UP_TO = 7
#: Of each byte; twice as fast as a division.
_FLOATS = (np.arange(256, dtype=np.float32) / 255.0).reshape(1, 256, 1)


def cut(picture: np.ndarray, window: Window) -> np.ndarray:
    """Cuts a crop [size, size, 3] float32 in [0, 1] out of an RGB picture [H, W, 3] uint8, black outside of it."""
    affine = window.affine
    factor = shrink_factor(window)
    if factor > 1:
        left, top, right, bottom = _part(window, factor, *picture.shape[:2])
        if left >= right or top >= bottom:
            return np.zeros((window.size, window.size, 3), np.float32)
        picture = shrunk(picture[top:bottom, left:right], factor)
        middle = 0.5 * (factor - 1)  # of a block
        affine = affine @ np.array([[factor, 0, left + middle], [0, factor, top + middle], [0, 0, 1]])
    crop = cv2.warpAffine(picture, affine, (window.size, window.size), flags=cv2.INTER_LINEAR)
    return to_float(crop)


def to_float(pixels: np.ndarray) -> np.ndarray:
    """Bytes [H, W, C] -> float32 in [0, 1]."""
    return cv2.LUT(pixels, _FLOATS)


def shrink_factor(window: Window) -> int:
    """Side of the blocks of pixels that are averaged before a crop is cut."""
    factor = int(np.clip(window.side / window.size / _SHRINK_AT, 1, _MOST_SHRINK))
    return factor if factor <= _FINE_UP_TO else factor - factor % 4


def _part(window, factor, height, width):
    """(left, top, right, bottom) of the whole blocks of the picture that the window shows, with a margin for bilinear sampling."""
    corners = window.to_picture(np.array([[0, 0], [1, 0], [0, 1], [1, 1]]) * (window.size - 1.0))
    first = np.clip(np.floor(corners.min(axis=0) / factor) - 1, 0, None).astype(int)
    last = np.minimum(np.ceil(corners.max(axis=0) / factor) + 2, [width // factor, height // factor]).astype(int)
    return *(factor * first), *(factor * last)


def in_picture(window: Window, height: int, width: int) -> np.ndarray:
    """Whether each pixel of a crop lies in the picture, [size, size] bool."""
    grid = np.stack(np.meshgrid(np.arange(window.size), np.arange(window.size)), axis=-1)
    places = window.to_picture(grid.reshape(-1, 2))
    return ((places >= 0) & (places <= (width - 1, height - 1))).all(axis=1).reshape(window.size, window.size)


def mask_to_picture(mask: np.ndarray, window: Window, height: int, width: int) -> np.ndarray:
    """Maps a crop's mask [size, size] in [0, 1] to its place in the picture, [height, width] float32."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(mask.astype(np.float32), window.affine, (width, height), flags=flags)
