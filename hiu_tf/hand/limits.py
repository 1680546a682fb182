"""Limits of the joints of any hand model. NumPy."""

from __future__ import annotations

import numpy as np

from hiu_tf.conventions.skeleton import MODEL_PARENTS
from hiu_tf.geometry.rotation import axis_angle
from hiu_tf.hand import anatomy
from hiu_tf.hand.model import HandModel
from hiu_tf.hand.procedural import procedural_hand
from hiu_tf.hand.retarget import rest_frames

#: Rest skeletons that differ by less are the same.
_ROUNDING = 1e-5


def joint_limits(hand: HandModel) -> tuple[np.ndarray, np.ndarray]:
    """Axes of flexion, abduction and twist of each joint of a right hand, and limits of the angles about them.

    anatomy.LIMITS_DEG holds for our hand, which is flat at rest. Theta of a hand with another rest pose, such as MANO's,
    is measured from there: its axes are turned, and its limits moved, by the difference between the rest skeletons (to first
    order in angles).

    Returns:
      Axes [15, 3, 3], so that axes @ theta are the angles, and their lower and upper limits [15, 3, 2]; radians.
    """
    axes, limits = np.zeros((15, 3, 3)), np.zeros((15, 3, 2))
    for finger in anatomy.FINGERS_MM:
        rows = anatomy.pose_rows(finger)
        axes[rows] = anatomy.joint_axes(finger)
        limits[rows] = np.radians(anatomy.LIMITS_DEG["thumb" if finger == "thumb" else "finger"])
    change = rest_frames(hand) @ np.swapaxes(rest_frames(procedural_hand()), -1, -2)
    change[np.abs(change - np.eye(3)).max(axis=(1, 2)) < _ROUNDING] = np.eye(3)
    bent = axis_angle(np.swapaxes(change[MODEL_PARENTS[1:]], -1, -2) @ change[1:])
    return axes @ np.swapaxes(change[1:], -1, -2), limits - (axes @ bent[..., np.newaxis])
