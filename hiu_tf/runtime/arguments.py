"""Checks the arguments of the predictor. Each function returns the argument in its plain form, or raises UserError."""

from __future__ import annotations

import numpy as np

from hiu_tf.errors import UserError
from hiu_tf.geometry.camera import is_pinhole
from hiu_tf.pictures import LONGEST_SIDE

#: Side -> whether its crop is mirrored: the network expects right hands.
MIRRORED = {"right": False, "left": True}
_LARGEST_K = 1e6  # pixels


def checked_sides(side: str | None) -> list[str]:
    """The sides to try: the given one, or both for None."""
    if side not in (None, *MIRRORED):
        raise UserError(f"side must be right, left or None, got {side!r}")
    return [side] if side else list(MIRRORED)


def checked_camera(K) -> np.ndarray | None:
    """The intrinsics as [3, 3] float, or None."""
    if K is None:
        return None
    try:
        found = np.asarray(K, float)
    except (TypeError, ValueError):
        found = np.zeros(0)
    if found.shape != (3, 3) or not np.all(np.abs(found) <= _LARGEST_K) or not is_pinhole(found):
        raise UserError(
            f"K must be [[fx, 0, cx], [0, fy, cy], [0, 0, 1]], pixels, with focal lengths above 0 and without skew, got {K!r}"
        )
    return found


def checked_picture(picture) -> np.ndarray:
    """The picture, [H, W, 3] uint8."""
    picture = np.asarray(picture)
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or min(picture.shape[:2]) < 2:
        raise UserError(
            f"a picture is [H, W, 3] uint8 RGB of at least 2x2 pixels, got shape {picture.shape} and type {picture.dtype}"
        )
    if max(picture.shape[:2]) > LONGEST_SIDE:
        raise UserError(f"the sides of a picture have at most {LONGEST_SIDE} pixels, got {picture.shape[:2]}")
    return picture


def checked_box(box, picture: np.ndarray) -> tuple[float, float, float, float]:
    """The box as (x, y, width, height)."""
    try:
        x, y, width, height = map(float, box)
    except (TypeError, ValueError) as error:
        raise UserError(f"box is (x, y, width, height) in pixels, got {box!r}") from error
    outside = x >= picture.shape[1] or y >= picture.shape[0] or x + width <= 0 or y + height <= 0
    huge = max(width, height) > 4 * max(picture.shape[:2])
    if not np.all(np.isfinite([x, y, width, height])) or width <= 0 or height <= 0 or outside or huge:
        raise UserError(f"box {tuple(box)} does not fit the picture of {picture.shape[1]}x{picture.shape[0]}")
    return x, y, width, height


def checked_most(most) -> None:
    """Raises UserError unless `most` is a number of hands, 1 or more."""
    if not isinstance(most, int) or most < 1:
        raise UserError(f"most takes a whole number above 0, got {most!r}")
