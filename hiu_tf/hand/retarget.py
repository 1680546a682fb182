"""Converts theta, R, T from one hand model to another, such as from our hand to MANO and back. NumPy.

Two models with the same 16 joints differ in their rest pose, so that equal theta poses them differently. The
conversion preserves the directions of the bones. Each joint gets a frame from the rest skeleton alone (along the
bone; sideways), and the target's frames are rotated to the orientations of the source's frames.
"""

import numpy as np

from hiu_tf.conventions import keys
from hiu_tf.conventions.skeleton import FINGERS, MODEL_JOINT_NAMES, MODEL_PARENTS, NUM_MODEL_JOINTS
from hiu_tf.geometry.rotation import axis_angle, rotation_matrix
from hiu_tf.hand.model import HandModel


def retarget(parameters: dict[str, np.ndarray], source: HandModel, target: HandModel) -> dict[str, np.ndarray]:
    """Converts hands.

    Args:
      parameters: pose [B, 15, 3] or [B, 45], rotation [B, 3] (axis-angle), translation [B, 3] (metres) of `source`.
      source, target: two hands of the same side.

    Returns:
      pose, rotation, translation for `target`: its finger bones have the source's directions, its wrist has the
      source's position. Shape cannot be converted: its directions are specific to each model.

    Raises:
      ValueError: one is a right hand and the other a left hand, or a number is not finite.
    """
    if source.side != target.side:
        raise ValueError(f"a {source.side} hand cannot become a {target.side} one: see mirror_hand")
    pose, rotation, translation = (
        np.asarray(parameters[name], float) for name in (keys.POSE, keys.ROTATION, keys.TRANSLATION)
    )
    if not all(np.isfinite(values).all() for values in (pose, rotation, translation)):
        raise ValueError("pose, rotation or translation holds values that are not finite")
    change = rest_frames(source) @ np.swapaxes(rest_frames(target), -1, -2)
    local = rotation_matrix(pose.reshape(-1, NUM_MODEL_JOINTS - 1, 3))
    before = np.swapaxes(change[MODEL_PARENTS[1:]], -1, -2)
    root = rotation_matrix(rotation) @ change[0]
    return {
        keys.POSE: axis_angle(before @ local @ change[1:]),
        keys.ROTATION: axis_angle(root),
        keys.TRANSLATION: translation + source.joints[0] - target.joints[0],
    }


def rest_frames(hand):
    """Frame of each joint of a hand at rest, [16, 3, 3]; columns: along the bone, sideways, normal to both."""
    joints = hand.joints.astype(float)
    at = dict(zip(MODEL_JOINT_NAMES, joints))
    tips = dict(zip(FINGERS, hand.vertices[hand.tips].astype(float)))
    across = at["index1"] - at["little1"]
    frames = np.empty((NUM_MODEL_JOINTS, 3, 3))
    frames[0] = _frame(at["middle1"] - at["wrist"], across)
    for j, name in enumerate(MODEL_JOINT_NAMES[1:], start=1):
        finger, k = name[:-1], int(name[-1])
        end = tips[finger] if k == 3 else at[f"{finger}{k + 1}"]
        # The thumb opposes the palm: its sideways direction is towards the index finger.
        frames[j] = _frame(end - joints[j], at["index1"] - at["thumb1"] if finger == "thumb" else across)
    return frames


def _frame(along, sideways):
    x = along / np.linalg.norm(along)
    y = sideways - x * (sideways @ x)
    y /= np.linalg.norm(y)
    return np.stack([x, y, np.cross(x, y)], axis=-1)
