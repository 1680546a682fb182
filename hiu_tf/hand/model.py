"""The arrays of a MANO-type hand model, loaded from one validated .npz file."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from hiu_tf.conventions.skeleton import MODEL_PARENTS, NUM_MODEL_JOINTS
from hiu_tf.errors import UserError

SCHEMA_VERSION = 1
NUM_SHAPE = 10
NUM_POSE_FEATURES = (NUM_MODEL_JOINTS - 1) * 9
POSE_SIZE = (NUM_MODEL_JOINTS - 1) * 3


class HandModelError(UserError):
    """A hand model file that cannot be used; the message says which field and why."""


@dataclass(frozen=True)
class HandModel:
    """A right hand: V vertices, F faces, 16 joints. Metres, radians, hand frame.

    Attributes:
      vertices: [V, 3] rest pose.
      faces: [F, 3] int32, counter-clockwise seen from outside.
      shape_directions: [V, 3, 10], one standard deviation each.
      pose_directions: [V, 3, 135], times vec(R_k - I) of the 15 finger joints, row-major.
      weights: [V, 16] skinning weights; rows are >= 0 and sum to 1.
      joint_regressor: [16, V]; rest joints J(beta) = joint_regressor @ shaped vertices. It is never
        applied to a posed mesh (supplement 1.1).
      parents: [16] int32, -1 for the root, each parent before its children.
      tips: [5] int32 vertex of each fingertip (thumb, index, middle, ring, little).
      pose_mean: [45] axis-angle of the mean natural pose.
      pose_basis: [45, 45] rows are principal directions, scaled to one standard deviation each.
      colors: [V, 3] in [0, 1], relative skin colour.
    """

    vertices: np.ndarray
    faces: np.ndarray
    shape_directions: np.ndarray
    pose_directions: np.ndarray
    weights: np.ndarray
    joint_regressor: np.ndarray
    parents: np.ndarray
    tips: np.ndarray
    pose_mean: np.ndarray
    pose_basis: np.ndarray
    colors: np.ndarray

    def __post_init__(self):
        v, f = len(self.vertices), len(self.faces)
        expected = {
            "vertices": (v, 3),
            "faces": (f, 3),
            "shape_directions": (v, 3, NUM_SHAPE),
            "pose_directions": (v, 3, NUM_POSE_FEATURES),
            "weights": (v, NUM_MODEL_JOINTS),
            "joint_regressor": (NUM_MODEL_JOINTS, v),
            "parents": (NUM_MODEL_JOINTS,),
            "tips": (5,),
            "pose_mean": (POSE_SIZE,),
            "pose_basis": (POSE_SIZE, POSE_SIZE),
            "colors": (v, 3),
        }
        for name, shape in expected.items():
            array = getattr(self, name)
            if array.shape != shape:
                raise HandModelError(f"hand model: {name} has shape {array.shape}, expected {shape}")
            if not np.all(np.isfinite(array)):
                raise HandModelError(f"hand model: {name} holds values that are not finite")
        self._check_meaning()

    def _check_meaning(self):
        if np.any(self.weights < 0) or np.abs(self.weights.sum(axis=1) - 1).max() > 1e-4:
            raise HandModelError("hand model: weights must be >= 0 and each row must sum to 1")
        if not np.array_equal(self.parents, MODEL_PARENTS):
            raise HandModelError(f"hand model: parents {self.parents.tolist()} are not the 16-joint hand")
        for name in ("faces", "tips"):
            array = getattr(self, name)
            if array.min() < 0 or array.max() >= len(self.vertices):
                raise HandModelError(f"hand model: {name} point at vertices that do not exist")

    @property
    def joints(self) -> np.ndarray:
        """Rest joints of the mean shape, [16, 3]."""
        return self.joint_regressor @ self.vertices


#: Stored as float16 and in sparse form they are a tenth of the size; nothing else loses precision.
_HALF = ("pose_directions", "shape_directions")
_INTEGER = ("faces", "parents", "tips")


def save_hand_model(path: str | Path, model: HandModel) -> None:
    """Writes the model as one compressed .npz."""
    arrays = {field.name: getattr(model, field.name) for field in fields(model)}
    for name in _HALF:
        arrays[name] = arrays[name].astype(np.float16)
    np.savez_compressed(path, schema_version=SCHEMA_VERSION, **arrays)


def load_hand_model(path: str | Path) -> HandModel:
    """Reads and checks a model written by `save_hand_model`.

    Raises:
      HandModelError: the file is missing, is of another schema, or breaks a rule of `HandModel`.
    """
    try:
        with np.load(path) as data:
            arrays = dict(data)
    except (OSError, ValueError) as error:
        raise HandModelError(f"hand model: cannot read {path}: {error}") from error
    version = int(arrays.pop("schema_version", -1))
    if version != SCHEMA_VERSION:
        raise HandModelError(f"hand model: {path} has schema {version}, this version reads {SCHEMA_VERSION}")
    missing = {field.name for field in fields(HandModel)} - set(arrays)
    if missing:
        raise HandModelError(f"hand model: {path} lacks {sorted(missing)}")
    names = [field.name for field in fields(HandModel)]
    return HandModel(**{n: arrays[n].astype(np.int32 if n in _INTEGER else np.float32) for n in names})
