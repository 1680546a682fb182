"""Pinhole cameras, and the virtual camera in which the network predicts. NumPy.

Pixels: (0, 0) is the centre of the first pixel. Camera frame: x right, y down, z forward, metres.
"""

import math

import numpy as np

#: Half the field of view of the crop's camera (12.6 degrees, docs/paper.md).
HALF_FOV_DEG = 12.6
#: Minimum depth for projection, metres; nearer points are clamped to it to avoid a division by 0.
MIN_DEPTH = 0.05
_ROUNDING = 1e-3  # pixels


def virtual_intrinsics(size: int) -> np.ndarray:
    """K [3, 3] of the fixed virtual camera of a size x size crop. In it a hand in a 1.5x crop is about 0.6 m away."""
    focal = 0.5 * size / math.tan(math.radians(HALF_FOV_DEG))
    centre = 0.5 * (size - 1)
    return np.array([[focal, 0, centre], [0, focal, centre], [0, 0, 1]], np.float32)


def is_pinhole(intrinsics: np.ndarray) -> bool:
    """Whether K [3, 3] is [[fx, 0, cx], [0, fy, cy], [0, 0, 1]] with fx, fy > 0, up to rounding, as all cameras here are."""
    plain = np.diag([*np.diag(intrinsics)[:2], 1.0])
    plain[:2, 2] = intrinsics[:2, 2]
    return bool(np.allclose(intrinsics, plain, rtol=0, atol=_ROUNDING) and np.diag(intrinsics).min() > 0)


def project(points: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """Camera-frame points [..., 3] and K [3, 3] -> pixels [..., 2].

    Points nearer than MIN_DEPTH are projected as if they were at MIN_DEPTH.
    """
    on_plane = points[..., :2] / np.maximum(points[..., 2:], MIN_DEPTH)
    return on_plane @ intrinsics[:2, :2].T + intrinsics[:2, 2]


def ray(pixel, intrinsics: np.ndarray) -> np.ndarray:
    """The point [3] at depth 1 that K [3, 3] projects to `pixel` (x, y)."""
    xy = (np.asarray(pixel, float) - intrinsics[:2, 2]) / np.diag(intrinsics)[:2]
    return np.array([*xy, 1.0])


def look_at_rotation(intrinsics: np.ndarray, pixel) -> np.ndarray:
    """The smallest rotation [3, 3] that turns the ray through `pixel` onto the optical axis (no roll)."""
    through = ray(pixel, intrinsics)
    x, y, z = through / np.linalg.norm(through)
    k = 1 / (1 + z)
    return np.array([[1 - k * x * x, -k * x * y, -x], [-k * x * y, 1 - k * y * y, -y], [x, y, z]])
