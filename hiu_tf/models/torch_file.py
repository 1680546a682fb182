"""Reads the arrays of a PyTorch weight file (.pth, format before 1.6) without PyTorch and without running its pickle.

Such a file is a sequence of pickles (magic number, version, system, state dictionary, keys of storages), then the raw
storages. The state dictionary names a few functions; each is replaced by a placeholder that only keeps its
arguments. Any other name is refused.
"""

from __future__ import annotations

import collections
import io
import pickle
import struct
from pathlib import Path

import numpy as np

from hiu_tf.errors import UserError

_MAGIC = 0x1950A86A20F9469CFC6C
_TYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}
_LARGEST = 500_000_000


class TorchFileError(UserError):
    """A file that is not a legacy PyTorch weight file, is damaged, or names forbidden functions."""


def read_torch_file(path: str | Path) -> dict[str, np.ndarray]:
    """Reads a state dictionary: name -> array.

    Raises:
      TorchFileError: the file cannot be read, is damaged, or is of another format.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise TorchFileError(f"cannot read {path}: {error.strerror}") from error
    if len(content) > _LARGEST:
        raise TorchFileError(f"{path} has {len(content) / 1e6:.0f} MB, at most {_LARGEST / 1e6:.0f} are read")
    try:
        return _arrays(io.BytesIO(content))
    except TorchFileError as error:
        raise TorchFileError(f"{path}: {error}") from error.__cause__
    except Exception as error:  # a broken pickle raises almost anything
        raise TorchFileError(f"{path} is damaged or of another format: {type(error).__name__}: {error}") from error


def _arrays(file):
    if _Unpickler(file).load() != _MAGIC:
        raise TorchFileError("is no PyTorch file of the format before 1.6")
    _Unpickler(file).load()  # version
    _Unpickler(file).load()  # sizes of C types on the writing machine
    tensors = _Unpickler(file).load()
    storages = {key: None for key in _Unpickler(file).load()}
    kinds = {tensor.key: tensor.kind for tensor in tensors.values()}
    for key in storages:
        dtype = _TYPES[kinds[key]]
        count = struct.unpack("<q", file.read(8))[0]
        storages[key] = np.frombuffer(file.read(count * dtype.itemsize), dtype, count)
    return {name: tensor.of(storages[tensor.key]) for name, tensor in tensors.items()}


class _Tensor:
    """A view of a storage."""

    def __init__(self, storage, offset, shape, stride, *_):
        self.kind, self.key = storage
        self.offset, self.shape, self.stride = int(offset), tuple(shape), tuple(stride)

    def of(self, numbers):
        """Returns a copy of the tensor's numbers, taken from its storage."""
        last = self.offset + sum((size - 1) * step for size, step in zip(self.shape, self.stride))
        if min((self.offset, *self.shape, *self.stride)) < 0 or last >= len(numbers):
            raise TorchFileError("a tensor lies outside its storage")
        strides = [step * numbers.itemsize for step in self.stride]
        return np.lib.stride_tricks.as_strided(numbers[self.offset :], self.shape, strides, writeable=False).copy()


# The Python version: the C version allocates memory for any memo index that a file states.
class _Unpickler(pickle._Unpickler):
    """Unpickler that allows tensors and ordered dictionaries, and refuses every other name."""

    def find_class(self, module, name):
        """Returns the allowed object for a name in the pickle, or raises."""
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _Tensor
        if module == "torch" and name in _TYPES:
            return name
        raise TorchFileError(f"asks for {module}.{name}, which no weights need: refused, nothing of it was run")

    def persistent_load(self, pid):
        """("storage", type, key, device, count, view) -> (type, key)."""
        word, kind, key, *_ = pid
        if word != "storage" or kind not in _TYPES:
            raise TorchFileError(f"holds a {kind}, only {', '.join(_TYPES)} are read")
        return kind, key
