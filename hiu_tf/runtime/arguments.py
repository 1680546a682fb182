"""Checks the arguments of the predictor. Each function returns the argument in its plain form, or raises UserError."""

from __future__ import annotations

import numpy as np

from hiu_tf.errors import UserError

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
    K = np.asarray(K, float)
    if K.shape != (3, 3) or not np.all(np.abs(K) <= _LARGEST_K) or min(K[0, 0], K[1, 1]) <= 0:
        raise UserError(f"K must be a 3x3 matrix of finite intrinsics with focal lengths > 0, got {K.tolist()}")
    return K


def checked_picture(picture) -> np.ndarray:
    """The picture, [H, W, 3] uint8."""
    picture = np.asarray(picture)
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or min(picture.shape[:2]) < 2:
        raise UserError(
            f"a picture is [H, W, 3] uint8 RGB of at least 2x2 pixels, got shape {picture.shape} and type {picture.dtype}"
        )
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
