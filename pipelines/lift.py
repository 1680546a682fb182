"""3D labels without a camera -> 3D labels with one: lifts root-relative joints of another network onto 2D labels."""

from __future__ import annotations

import math

import numpy as np

from hiu_tf.geometry.camera import HALF_FOV_DEG

#: Side, relative to the hand's box, of the crop whose virtual camera replaces the unknown camera.
_CROP = 1.5


def orthographic_fit(joints_2d: np.ndarray, joints_3d: np.ndarray) -> tuple[float, float]:
    """Scale (pixels per metre) that best maps x, y of 3D joints [21, 3] to 2D joints [21, 2], and the remaining error.

    The error is the mean distance divided by the longer side of the box of the 2D joints.
    """
    flat, deep = joints_2d - joints_2d.mean(axis=0), joints_3d[:, :2] - joints_3d[:, :2].mean(axis=0)
    scale = float((flat * deep).sum() / max((deep * deep).sum(), 1e-12))
    side = np.ptp(joints_2d, axis=0).max()
    return scale, float(np.linalg.norm(flat - scale * deep, axis=1).mean() / max(side, 1e-6))


def lift(joints_2d: np.ndarray, joints_3d: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Moves 3D joints onto the rays of their 2D labels, keeping their relative depths.

    Args:
      joints_2d: [21, 2] pixels.
      joints_3d: [21, 3] metres relative to any origin, in the axes of the picture's camera.
      scale: pixels per metre at the hand, above 0.

    Returns:
      joints [21, 3] metres in the camera frame, and that camera's K [3, 3]: it looks at the middle of the hand's
      box with the field of view of a crop, so that 3D projects onto the 2D labels exactly.
    """
    low, high = joints_2d.min(axis=0), joints_2d.max(axis=0)
    focal = 0.5 * _CROP * float((high - low).max()) / math.tan(math.radians(HALF_FOV_DEG))
    centre = (low + high) / 2
    depth = focal / scale + joints_3d[:, 2] - joints_3d[:, 2].mean()
    joints = np.concatenate([(joints_2d - centre) / focal * depth[:, None], depth[:, None]], axis=1)
    camera = np.array([[focal, 0, centre[0]], [0, focal, centre[1]], [0, 0, 1]])
    return joints.astype(np.float32), camera.astype(np.float32)
