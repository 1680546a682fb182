"""MANO v1.2 files -> `HandModel`, without chumpy and without running anything that a file asks for.

`MANO_RIGHT.pkl` and `MANO_LEFT.pkl` are Python 2 pickles of NumPy arrays, chumpy objects and one
SciPy sparse matrix. A pickle can name any function of any module; the reader here knows a handful of
harmless names, replaces chumpy and SciPy by shells that only keep their data, and refuses the rest.

The files are licensed for non-commercial research and may not be passed on; so are conversions of them.
"""

from __future__ import annotations

import hashlib
import io
import pickle
from pathlib import Path

import numpy as np

from hiu_tf.conventions.skeleton import MANO_TIP_VERTICES, MODEL_PARENTS, NUM_MODEL_JOINTS
from hiu_tf.hand.model import POSE_SIZE, HandModel, HandModelError

NUM_VERTICES, NUM_FACES = 778, 1538
LICENCE = "MANO: non-commercial research, no redistribution (mano.is.tue.mpg.de)"
#: md5 of the right hand of the v1.2 release, as FreiHAND's set-up program checks it.
RIGHT_MD5 = "fd5a9d35f914987cf1cc04ffe338caa1"
#: Middle finger's first joint to wrist, metres: 93 mm. Far from it the file is in other units or another model.
_PALM_LENGTH = (0.08, 0.11)

#: What the release holds: key -> shape; N is free.
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
_LARGEST = 60_000_000  # bytes: enough to tell SMPL from MANO
#: Models that people mistake for MANO, by their number of vertices.
_OTHER_MODELS = {6890: "SMPL or SMPL+H (a whole body)", 10475: "SMPL-X (a whole body)", 5023: "FLAME (a head)"}


def read_mano(path: str | Path, tips: str = "freihand", other_hand: str | Path | None = None):
    """Reads one hand of MANO v1.2.

    Args:
      path: MANO_RIGHT.pkl or MANO_LEFT.pkl.
      tips: whose fingertip vertices, a key of `MANO_TIP_VERTICES`.
      other_hand: MANO_RIGHT.pkl, to tell for certain whether a left file has the sign error.

    Returns:
      (the `HandModel`, a list of sentences about what was found and mended).

    Raises:
      HandModelError: the file is not there, is not such a file, or asks for something dangerous.
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
    """Every field of the file as a plain array, checked, and what is known of the file."""
    content = _read_bytes(Path(path))
    data = _unpickle(content, path)
    if not isinstance(data, dict):
        raise HandModelError(f"{path} holds a {type(data).__name__}, not MANO's dictionary")
    points = np.shape(_plain(data.get("v_template", ()), "v_template", path))[:1]
    if points and points[0] in _OTHER_MODELS:
        raise HandModelError(f"{path} is {_OTHER_MODELS[points[0]]}, not MANO: use MANO_RIGHT.pkl or MANO_LEFT.pkl")
    missing = [name for name in FIELDS if name not in data]
    if missing:
        raise HandModelError(f"{path} lacks {', '.join(missing)}: it is not a MANO v1.2 file")
    arrays = {name: _checked(_plain(data[name], name, path), name, shape, path) for name, shape in FIELDS.items()}
    _check_kinematic_tree(arrays["kintree_table"], path)
    known = hashlib.md5(content).hexdigest() == RIGHT_MD5  # recognises a release, protects nothing
    return arrays, ["the file is the right hand of the MANO v1.2 release"] if known else []


def _read_right(path):
    data, _ = _read_fields(path)
    if _side(data, path) != "right":
        raise HandModelError(f"{path} is a left hand: the right one is needed to judge the left one")
    return data


def _read_bytes(path):
    try:
        content = path.read_bytes()
    except OSError as error:
        raise HandModelError(f"cannot read {path}: {error.strerror}") from error
    for start, meaning in _NOT_PICKLES.items():
        if content.lstrip()[: len(start)].lower() == start:
            raise HandModelError(f"{path} is {meaning}")
    if not content:
        raise HandModelError(f"{path} is empty")
    if len(content) > _LARGEST:
        raise HandModelError(f"{path} has {len(content) / 1e6:.0f} MB: MANO has 4, it must be another file")
    return content


_NOT_PICKLES = {
    b"version https://git-lfs": "a Git LFS pointer, not the file itself: run `git lfs pull` where it comes from",
    b"<!doctype": "a web page (a log-in form?), not the file: download it again from mano.is.tue.mpg.de",
    b"<html": "a web page (a log-in form?), not the file: download it again from mano.is.tue.mpg.de",
    b"pk\x03\x04": "an archive: unpack it and take models/MANO_RIGHT.pkl or models/MANO_LEFT.pkl",
}


class _Shell:
    """Stands for a class that a file names: keeps what its object was pickled with, and does nothing."""

    def __init__(self, *args):
        self.state = {}

    def __setstate__(self, state):
        self.state = state if isinstance(state, dict) else {}


class _Chumpy(_Shell):
    pass


class _Csc(_Shell):
    pass


class _Dtype(_Shell):
    def __init__(self, code="", *args):
        self.code, self.order = code, "<"

    def __setstate__(self, state):
        self.order = state[1]


class _Array(_Shell):
    """NumPy's own unpickling would take object arrays with pointers of the file's choice: numbers only."""

    value = None

    def __setstate__(self, state):
        _, shape, dtype, fortran, raw = state
        if dtype.code in _NUMBERS:
            raw = raw.encode("latin1") if isinstance(raw, str) else bytes(raw)
            numbers = np.frombuffer(raw, np.dtype(dtype.code).newbyteorder(dtype.order))
            self.value = numbers.reshape(shape, order="F" if fortran else "C")


_NUMBERS = ("f4", "f8", "i2", "i4", "i8", "u1", "u2", "u4", "u8")


class _Reconstruct:
    __slots__ = ()

    def __call__(self, *args):
        return _Array()


class _Encode:
    """Bytes in a protocol-2 pickle are written as text and an encoding."""

    __slots__ = ()

    def __call__(self, text, encoding="latin1"):
        if not isinstance(text, str) or encoding != "latin1":
            raise ValueError("only Latin-1 text is turned into bytes")
        return text.encode("latin1")


class _Refused(Exception):
    """The pickle names something that it has no business with."""


# The one in Python: the one in C reserves memory for whatever memo index a file states.
class _Unpickler(pickle._Unpickler):
    """Knows numbers, sets, and the shells; refuses every other name."""

    def find_class(self, module, name):
        """The object that a pickle may use under that name."""
        full = f"{module}.{name}"
        if full in _HARMLESS:
            return _HARMLESS[full]
        if module.split(".")[0] == "chumpy" and "__" not in name:
            return _Chumpy
        if module.startswith("scipy.sparse") and name == "csc_matrix":
            return _Csc
        raise _Refused(full)


_HARMLESS = {
    **{f"numpy.{core}.multiarray._reconstruct": _Reconstruct() for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray.scalar": _Shell for core in ("core", "_core")},
    "numpy.ndarray": _Array,
    "numpy.dtype": _Dtype,
    **{f"{builtins}.set": set for builtins in ("__builtin__", "builtins")},
    "_codecs.encode": _Encode(),
}


def _unpickle(content, path):
    try:
        return _Unpickler(io.BytesIO(content), encoding="latin1").load()
    except _Refused as refused:
        raise HandModelError(
            f"{path} asks for {refused}, which no MANO file needs: refused, nothing of it was run"
        ) from None
    except EOFError as error:
        raise HandModelError(f"{path} ends too early: the download is incomplete") from error
    except Exception as error:  # a broken pickle raises almost anything
        raise HandModelError(f"{path} is damaged or no pickle: {type(error).__name__}: {error}") from error


def _plain(value, name, path):
    """Shells of arrays, chumpy objects and sparse matrices -> array."""
    try:
        return np.asarray(_value(value))
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError, MemoryError) as error:
        raise HandModelError(f"{path}: {name} cannot be read ({type(error).__name__}: {error})") from error


def _value(node):
    """A plain chumpy object keeps its array in x; a Select picks entries of another one and reshapes them."""
    if isinstance(node, _Array):
        return node.value
    if isinstance(node, _Csc):
        return _dense(node.state)
    if not isinstance(node, _Chumpy):
        return node
    if "idxs" in node.state:
        picked = np.ravel(_value(node.state["a"]))[_value(node.state["idxs"])]
        return picked.reshape(_value(node.state["preferred_shape"]))
    return _value(node.state["x"])


def _dense(state):
    data, indices, indptr = (_value(state[k]) for k in ("data", "indices", "indptr"))
    shape = tuple(state.get("_shape", state.get("shape")))
    if shape != FIELDS["J_regressor"]:
        raise ValueError(f"a sparse matrix of shape {shape}")
    dense = np.zeros(shape)
    np.add.at(dense, (indices, np.repeat(np.arange(shape[1]), np.diff(indptr))), data)
    return dense


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
    """Fingers point along -x in the right hand and along +x in the left one."""
    joints = data["J_regressor"] @ data["v_template"]
    palm = joints[4] - joints[0]
    length = np.linalg.norm(palm)
    if not _PALM_LENGTH[0] < length < _PALM_LENGTH[1]:
        raise HandModelError(f"{path}: wrist to middle finger is {length:.4g}, MANO has 0.093 (metres): wrong units?")
    return "right" if palm[0] < 0 else "left"


def _mend_left_shape(data, right):
    """Some releases store the left hand's shape directions with the sign of x of the right hand's.

    With the right file at hand they are compared. Without, the first direction decides: it is size, so
    it must move points away from the middle along x just as it does along z.
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
