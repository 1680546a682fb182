"""Reads Python 2 pickles of arrays without executing code named in them.

A pickle can name any function of any module. This reader allows a few harmless names, builds numeric arrays
itself, replaces objects of chumpy and SciPy by shells that only keep their data, and refuses everything else.
"""

import io
import pickle
from pathlib import Path

import numpy as np

from hiu_tf.hand.model import HandModelError

_LARGEST = 60_000_000  # bytes: enough to tell SMPL from MANO


def read_bytes(path: Path) -> bytes:
    """Reads the file; refuses content that is clearly not a pickle."""
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
    """Placeholder for a class named in a file. Keeps the pickled data and executes nothing."""

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
    """Array of numbers only. NumPy's own unpickling would also accept object arrays with arbitrary pointers."""

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
    """Bytes, which protocol-2 pickles store as text and an encoding."""

    __slots__ = ()

    def __call__(self, text, encoding="latin1"):
        if not isinstance(text, str) or encoding != "latin1":
            raise ValueError("only Latin-1 text is turned into bytes")
        return text.encode("latin1")


class _Refused(Exception):
    """The pickle names a function or class that is not allowed."""


# The Python version: the C version allocates memory for any memo index that a file states.
class _Unpickler(pickle._Unpickler):
    """Unpickler that allows numbers, sets and the shells, and refuses every other name."""

    def find_class(self, module, name):
        """Returns the allowed object for a name in the pickle, or raises."""
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


def unpickle(content: bytes, path):
    """Unpickles an object, with shells in place of arrays and of objects of other packages."""
    try:
        return _Unpickler(io.BytesIO(content), encoding="latin1").load()
    except _Refused as refused:
        raise HandModelError(
            f"{path} asks for {refused}, which no MANO file needs: refused, nothing of it was run"
        ) from None
    except EOFError as error:
        raise HandModelError(f"{path} ends too early: the download is incomplete") from error
    except Exception as error:  # a broken pickle raises almost anything
        raise HandModelError(
            f"{path} is damaged or no pickle: is it MANO_RIGHT.pkl or MANO_LEFT.pkl of mano_v1_2.zip? "
            f"(reading stopped at {type(error).__name__} {error})"
        ) from error


def as_array(value, name: str, path) -> np.ndarray:
    """Converts the shell of an array, a chumpy object or a sparse matrix to an array."""
    try:
        return np.asarray(_value(value))
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError, MemoryError) as error:
        raise HandModelError(f"{path}: {name} cannot be read ({type(error).__name__}: {error})") from error


def _value(node):
    """Value of a chumpy object. A plain one keeps its array in x; a Select indexes and reshapes another one."""
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
    if np.prod(shape, dtype=float) > _LARGEST:
        raise ValueError(f"a sparse matrix of shape {shape}")
    dense = np.zeros(shape)
    np.add.at(dense, (indices, np.repeat(np.arange(shape[1]), np.diff(indptr))), data)
    return dense
