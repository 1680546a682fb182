"""Cuts the crop of a window out of a picture, and maps a mask back to the picture. NumPy + OpenCV."""

import cv2
import numpy as np

from hiu_tf.geometry.window import Window

#: Pictures that shrink by more than this factor are averaged first, to avoid aliasing.
_SHRINK_AT, _MOST_SHRINK = 1.5, 16


def cut(picture: np.ndarray, window: Window) -> np.ndarray:
    """Cuts a crop [size, size, 3] float32 in [0, 1] out of an RGB picture [H, W, 3] uint8, black outside of it."""
    affine = window.affine
    shrink = int(np.clip(window.side / window.size / _SHRINK_AT, 1, _MOST_SHRINK))
    if shrink > 1:
        height, width = picture.shape[:2]
        small = cv2.resize(picture, (max(width // shrink, 1), max(height // shrink, 1)), interpolation=cv2.INTER_AREA)
        ratio = np.array([width / small.shape[1], height / small.shape[0]])
        grow = np.array([[ratio[0], 0, 0.5 * ratio[0] - 0.5], [0, ratio[1], 0.5 * ratio[1] - 0.5], [0, 0, 1]])
        affine, picture = affine @ grow, small
    crop = cv2.warpAffine(picture, affine, (window.size, window.size), flags=cv2.INTER_LINEAR)
    return crop.astype(np.float32) / 255.0


def mask_to_picture(mask: np.ndarray, window: Window, height: int, width: int) -> np.ndarray:
    """Maps a crop's mask [size, size] in [0, 1] to its place in the picture, [height, width] float32."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(mask.astype(np.float32), window.affine, (width, height), flags=flags)
