"""MANO v1.2 files -> `HandModel`, without chumpy and without executing code named in a file.

`MANO_RIGHT.pkl` and `MANO_LEFT.pkl` are Python 2 pickles of NumPy arrays, chumpy objects and one
SciPy sparse matrix, read by restricted_pickle.py.

The files and conversions of them are licensed for non-commercial research and may not be passed on.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from hiu_tf.conventions.skeleton import MANO_TIP_VERTICES, MODEL_PARENTS, NUM_MODEL_JOINTS
from hiu_tf.hand.model import POSE_SIZE, HandModel, HandModelError
from hiu_tf.hand.restricted_pickle import as_array, read_bytes, unpickle

NUM_VERTICES, NUM_FACES = 778, 1538
LICENCE = "MANO: non-commercial research, no redistribution (mano.is.tue.mpg.de)"
#: md5 of the right hand of the v1.2 release, from FreiHAND's set-up program.
RIGHT_MD5 = "fd5a9d35f914987cf1cc04ffe338caa1"
#: Plausible distance from the wrist to the middle finger's first joint, metres (93 mm in MANO). Outside it the file
#: has other units or holds another model.
_PALM_LENGTH = (0.08, 0.11)

#: Arrays of the release: key -> shape; N is free.
FIELDS = {
    "v_template": (NUM_VERTICES, 3),
    "f": (NUM_FACES, 3),
    "shapedirs": (NUM_VERTICES, 3, 10),
    "posedirs": (NUM_VERTICES, 3, POSE_SIZE * 3),
    "J_regressor": (NUM_MODEL_JOINTS, NUM_VERTICES),
    "weights": (NUM_VERTICES, NUM_MODEL_JOINTS),
    "kintree_table": (2, NUM_MODEL_JOINTS),
    "hands_mean": (POSE_SIZE,),
    "hands_components": (POSE_SIZE, POSE_SIZE),
    "hands_coeffs": ("N", POSE_SIZE),
}
#: Models that are often confused with MANO, by number of vertices.
_OTHER_MODELS = {6890: "SMPL or SMPL+H (a whole body)", 10475: "SMPL-X (a whole body)", 5023: "FLAME (a head)"}


def read_mano(path: str | Path, tips: str = "freihand", other_hand: str | Path | None = None):
    """Reads one hand of MANO v1.2.

    Args:
      path: MANO_RIGHT.pkl or MANO_LEFT.pkl.
      tips: source of the fingertip vertices, a key of `MANO_TIP_VERTICES`.
      other_hand: MANO_RIGHT.pkl, to detect reliably whether a left file has the sign error.

    Returns:
      (the `HandModel`, a list of sentences that say what was found and repaired).

    Raises:
      HandModelError: the file is missing, is no MANO file, or names forbidden functions.
    """
    data, notes = _read_fields(path)
    side = _side(data, path)
    if side == "left":
        notes += _mend_left_shape(data, _read_right(other_hand) if other_hand else None)
    if tips not in MANO_TIP_VERTICES:
        raise HandModelError(f"unknown fingertips {tips!r}; known are {', '.join(MANO_TIP_VERTICES)}")
    model = HandModel(
        vertices=_float(data["v_template"]),
        faces=data["f"].astype(np.int32),
        shape_directions=_float(data["shapedirs"]),
        pose_directions=_float(data["posedirs"]),
        weights=_float(data["weights"] / data["weights"].sum(axis=1, keepdims=True)),
        joint_regressor=_float(data["J_regressor"]),
        parents=MODEL_PARENTS,
        tips=np.array(MANO_TIP_VERTICES[tips][side], np.int32),
        pose_mean=_float(data["hands_mean"]),
        pose_basis=_float(data["hands_components"]),
        pose_deviations=_float(data["hands_coeffs"].std(axis=0)),
        colors=np.ones((NUM_VERTICES, 3), np.float32),
        side=side,
        name=f"MANO v1.2 {side} hand, {tips} fingertips",
        licence=LICENCE,
    )
    return model, notes


def _read_fields(path):
    """Reads and checks every field of the file as a plain array. Returns the fields and notes about the file."""
    content = read_bytes(Path(path))
    data = unpickle(content, path)
    if not isinstance(data, dict):
        raise HandModelError(f"{path} holds a {type(data).__name__}, not MANO's dictionary")
    points = np.shape(as_array(data.get("v_template", ()), "v_template", path))[:1]
    if points and points[0] in _OTHER_MODELS:
        raise HandModelError(f"{path} is {_OTHER_MODELS[points[0]]}, not MANO: use MANO_RIGHT.pkl or MANO_LEFT.pkl")
    missing = [name for name in FIELDS if name not in data]
    if missing:
        raise HandModelError(f"{path} lacks {', '.join(missing)}: it is not a MANO v1.2 file")
    arrays = {name: _checked(as_array(data[name], name, path), name, shape, path) for name, shape in FIELDS.items()}
    _check_kinematic_tree(arrays["kintree_table"], path)
    known = hashlib.md5(content).hexdigest() == RIGHT_MD5  # identifies a release; not for security
    return arrays, ["the file is the right hand of the MANO v1.2 release"] if known else []


def _read_right(path):
    data, _ = _read_fields(path)
    if _side(data, path) != "right":
        raise HandModelError(f"{path} is a left hand: the right one is needed to judge the left one")
    return data


def _checked(array, name, shape, path):
    fits = array.ndim == len(shape) and all(want in ("N", got) for want, got in zip(shape, array.shape))
    if not fits or array.dtype.kind not in "fiu":
        wanted = "x".join(map(str, shape))
        raise HandModelError(
            f"{path}: {name} must be numbers of shape {wanted}, got {array.dtype} of shape {array.shape}"
        )
    if not np.all(np.isfinite(array)):
        raise HandModelError(f"{path}: {name} holds values that are not finite")
    return array


def _check_kinematic_tree(table, path):
    """The root's parent is stored as 2^32 - 1: only the others are compared."""
    if not np.array_equal(table[0, 1:], MODEL_PARENTS[1:]):
        raise HandModelError(f"{path}: kintree_table {table[0].tolist()} is not the hand of 16 joints")


def _side(data, path):
    """The hand's side: fingers point along -x in the right hand and along +x in the left one."""
    joints = data["J_regressor"] @ data["v_template"]
    palm = joints[4] - joints[0]
    length = np.linalg.norm(palm)
    if not _PALM_LENGTH[0] < length < _PALM_LENGTH[1]:
        raise HandModelError(f"{path}: wrist to middle finger is {length:.4g}, MANO has 0.093 (metres): wrong units?")
    return "right" if palm[0] < 0 else "left"


def _mend_left_shape(data, right):
    """Repairs shape directions of a left hand that have the right hand's sign of x, as in some releases.

    If the right hand's file is given, both are compared. Otherwise the first direction decides: it is size, so
    that it must move points away from the middle along x just as it does along z.
    """
    directions = data["shapedirs"]
    if right is not None:
        same, mirrored = (np.abs(directions[:, 0] - s * right["shapedirs"][:, 0]).sum() for s in (1, -1))
        wrong, how = same < mirrored, "compared with the right hand"
    else:
        centred = data["v_template"] - data["v_template"].mean(axis=0)
        growth = (centred * directions[..., 0]).sum(axis=0)
        wrong, how = growth[0] * growth[2] < 0, "judged by the first direction, which is size"
    if not wrong:
        return []
    data["shapedirs"] = directions * np.array([-1.0, 1, 1])[:, np.newaxis]
    return [f"the left hand's shape directions had the wrong sign of x ({how}): mended"]


def _float(array):
    return np.ascontiguousarray(array, np.float32)
