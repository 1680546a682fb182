"""The arrays of a MANO-type hand model, loaded from one validated .npz file."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path

import numpy as np

from hiu_tf.atomic import written_whole
from hiu_tf.conventions.skeleton import MODEL_PARENTS, NUM_MODEL_JOINTS
from hiu_tf.errors import UserError
from hiu_tf.geometry.mesh import close_holes

SCHEMA_VERSION = 2
NUM_SHAPE = 10
NUM_POSE_FEATURES = (NUM_MODEL_JOINTS - 1) * 9
POSE_SIZE = (NUM_MODEL_JOINTS - 1) * 3


class HandModelError(UserError):
    """A hand model file that cannot be used; the message says which field and why."""


@dataclass(frozen=True)
class HandModel:
    """A hand model with V vertices, F faces and 16 joints. Metres, radians, hand frame.

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
      pose_basis: [45, 45] rows are orthonormal principal directions of natural poses.
      pose_deviations: [45] standard deviation of the coefficient of each row, radians.
      colors: [V, 3] in [0, 1], relative skin colour.
      side: "right" or "left".
      name, licence: where the model comes from and on what terms.
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
    pose_deviations: np.ndarray
    colors: np.ndarray
    side: str
    name: str
    licence: str

    def __post_init__(self):
        if not len(self.vertices) or not len(self.faces):
            raise HandModelError("hand model: it has no vertices or no faces")
        for name, shape in array_shapes(len(self.vertices), len(self.faces)).items():
            array = getattr(self, name)
            if array.shape != shape:
                raise HandModelError(f"hand model: {name} has shape {array.shape}, expected {shape}")
            if array.dtype.kind != ("i" if name in _INTEGER else "f"):
                raise HandModelError(f"hand model: {name} has type {array.dtype}")
            if not np.all(np.isfinite(array)):
                raise HandModelError(f"hand model: {name} holds values that are not finite")
        self._check_meaning()

    def _check_meaning(self):
        palm = np.linalg.norm(self.joints[4] - self.joints[0])
        if not 0.05 < palm < 0.2:
            raise HandModelError(f"hand model: wrist to middle finger is {palm:.3g}, expected metres, about 0.09")
        if np.any(self.pose_deviations < 0):
            raise HandModelError("hand model: pose_deviations must be >= 0")
        if self.colors.min() < 0 or self.colors.max() > 1:
            raise HandModelError("hand model: colors must be in [0, 1]")
        for name in ("weights", "joint_regressor"):
            if np.abs(getattr(self, name).sum(axis=1) - 1).max() > 1e-4:
                raise HandModelError(f"hand model: each row of {name} must sum to 1")
        if np.any(self.weights < 0):
            raise HandModelError("hand model: weights must be >= 0")
        if not np.array_equal(self.parents, MODEL_PARENTS):
            raise HandModelError(f"hand model: parents {self.parents.tolist()} are not the 16-joint hand")
        for name in ("faces", "tips"):
            array = getattr(self, name)
            if array.min() < 0 or array.max() >= len(self.vertices):
                raise HandModelError(f"hand model: {name} point at vertices that do not exist")
        if self.side not in ("right", "left"):
            raise HandModelError(f"hand model: side must be right or left, got {self.side!r}")

    @cached_property
    def closed_faces(self) -> np.ndarray:
        """Faces with a closed wrist, [F', 3]: an open wrist would leave a hole in masks."""
        return close_holes(self.faces)

    @property
    def joints(self) -> np.ndarray:
        """Rest joints of the mean shape, [16, 3]."""
        return self.joint_regressor @ self.vertices


def array_shapes(num_vertices: int, num_faces: int) -> dict[str, tuple[int, ...]]:
    """Shape of every array of a model."""
    v, f = num_vertices, num_faces
    return {
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
        "pose_deviations": (POSE_SIZE,),
        "colors": (v, 3),
    }


_INTEGER = ("faces", "parents", "tips")
_TEXT = ("side", "name", "licence")
#: Arrays of our own hand that are stored as float16, which cuts the file to a third. MANO is stored in full precision.
COMPACT = ("pose_directions", "shape_directions")


def save_hand_model(path: str | Path, model: HandModel, half: tuple[str, ...] = ()) -> None:
    """Writes the model as one compressed .npz, the arrays named in `half` as float16."""
    arrays = {field.name: getattr(model, field.name) for field in fields(model)}
    for name in half:
        arrays[name] = arrays[name].astype(np.float16)
    with written_whole(path) as scratch, scratch.open("wb") as file:
        np.savez_compressed(file, schema_version=SCHEMA_VERSION, **arrays)


def load_hand_model(path: str | Path) -> HandModel:
    """Reads and checks a model written by `save_hand_model`.

    Raises:
      HandModelError: the file is missing, is of another schema, or breaks a rule of `HandModel`.
    """
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as data:
            arrays = dict(data)
    except Exception as error:  # zipfile, zlib and NumPy raise many kinds of exceptions on damaged files
        raise HandModelError(f"hand model: cannot read {path}: {error}") from error
    version = str(arrays.pop("schema_version", "none"))
    if version != str(SCHEMA_VERSION):
        raise HandModelError(f"hand model: {path} has schema {version}, this version reads {SCHEMA_VERSION}")
    missing = {field.name for field in fields(HandModel)} - set(arrays)
    if missing:
        raise HandModelError(f"hand model: {path} lacks {sorted(missing)}")
    texts = {name: str(arrays[name]) for name in _TEXT}
    return HandModel(**{name: _as_stored(name, arrays[name]) for name in array_shapes(0, 0)}, **texts)


def _as_stored(name, array):
    """Converts to float32 or int32; refuses arrays of other kinds of numbers."""
    kinds, target = ("iu", np.int32) if name in _INTEGER else ("f", np.float32)
    if array.dtype.kind not in kinds or array.ndim < 1 or (kinds == "iu" and array.size and array.max() > 2**31 - 1):
        raise HandModelError(f"hand model: {name} has type {array.dtype} and shape {array.shape}")
    return array.astype(target)


def mirror_hand(model: HandModel) -> HandModel:
    """The hand model of the other side. Posed with mirrored parameters it is the mirror image (x -> -x) of `model`."""
    flip = np.array([-1, 1, 1], np.float32)
    signs = np.tile(np.outer(flip, flip).reshape(-1), NUM_MODEL_JOINTS - 1)  # of vec(M R M - I)
    turn = np.tile([1, -1, -1], NUM_MODEL_JOINTS - 1).astype(np.float32)  # of axis-angles
    return HandModel(
        vertices=model.vertices * flip,
        faces=np.ascontiguousarray(model.faces[:, ::-1]),
        shape_directions=model.shape_directions * flip[:, np.newaxis],
        pose_directions=model.pose_directions * flip[:, np.newaxis] * signs,
        weights=model.weights,
        joint_regressor=model.joint_regressor,
        parents=model.parents,
        tips=model.tips,
        pose_mean=model.pose_mean * turn,
        pose_basis=model.pose_basis * turn,
        pose_deviations=model.pose_deviations,
        colors=model.colors,
        side="left" if model.side == "right" else "right",
        name=f"{model.name}, mirrored",
        licence=model.licence,
    )


def mirror_rotations(axis_angle):
    """Axis-angle rotations [..., 3] of the mirror image (x -> -x): M R M with M = diag(-1, 1, 1)."""
    return axis_angle * np.array([1, -1, -1], np.float32)
