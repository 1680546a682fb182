"""The hand model for the page's fit: one file of numbers, and JSON with the position of each array in it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from hiu_tf.conventions.skeleton import MODEL_TO_KEYPOINTS
from hiu_tf.fit.chain import FINGERS
from hiu_tf.hand.limits import joint_limits
from hiu_tf.hand.model import HandModel

ARRAYS, INDEX = "hand.bin", "hand.json"


def write_hand(folder: Path, hand: HandModel) -> None:
    """Writes `ARRAYS` (float32, the large ones float16, little-endian) and `INDEX`."""
    content, arrays = b"", {}
    for name, values in _arrays(hand).items():
        values = np.ascontiguousarray(values, "<f2" if name == "directions" else "<f4")
        arrays[name] = {"shape": values.shape, "bytes": values.itemsize, "offset": len(content)}
        content += values.tobytes() + b"\0" * (-values.nbytes % 4)
    rows = MODEL_TO_KEYPOINTS[FINGERS[:, :3]] - 1
    (folder / ARRAYS).write_bytes(content)
    (folder / INDEX).write_text(json.dumps({"name": hand.name, "theta_rows": rows.tolist(), "arrays": arrays}))


def _arrays(hand):
    """Arrays: `points` [21, 3] at rest, how beta moves them; `directions` [V, 3, 10 + 135] of shape, pose; limits."""
    joints = hand.joint_regressor.astype(float)
    points = np.concatenate([joints @ hand.vertices, hand.vertices[hand.tips]])
    moves = [np.einsum("jv,vcn->jcn", joints, hand.shape_directions), hand.shape_directions[hand.tips]]
    axes, limits = joint_limits(hand)
    return {
        "points": points[MODEL_TO_KEYPOINTS],
        "moves": np.concatenate(moves)[MODEL_TO_KEYPOINTS],
        "vertices": hand.vertices,
        "weights": hand.weights,
        "directions": np.concatenate([hand.shape_directions, hand.pose_directions], axis=-1),
        "pose_mean": hand.pose_mean,
        "pose_basis": hand.pose_basis,
        "pose_deviations": hand.pose_deviations,
        "limit_axes": axes,
        "limits": limits,
    }
