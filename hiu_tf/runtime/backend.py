"""Loads a .tflite file, an .onnx file or a SavedModel folder as one kind of function."""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from hiu_tf.conventions import keys
from hiu_tf.errors import install_words
from hiu_tf.quiet import without_chatter
from hiu_tf.runtime.card import FILES, ModelError, read_card
from hiu_tf.runtime.shipped import model_path

#: Packages with a TFLite interpreter, the fastest first.
INTERPRETERS = ("ai_edge_litert.interpreter", "tflite_runtime.interpreter", "tensorflow.lite.python.interpreter")
#: It was built for NumPy 1: beside NumPy 2 it can be imported, but fails when it opens a file.
_OF_NUMPY_1 = "tflite_runtime.interpreter"
NO_INTERPRETER = (
    "no TFLite interpreter is installed: pip install ai-edge-litert (it has wheels for Python 3.9-3.13 on Linux and Apple "
    "silicon, 3.10-3.13 on Windows, 3.9-3.11 on Intel Macs), or tensorflow; tflite-runtime only works beside NumPy 1"
)
SIGNATURE = "tensor"
_ERRORS = 3  # severity from which ONNX Runtime prints: without warnings

Network = Callable[[np.ndarray], dict[str, np.ndarray]]


def load_network(path: str | Path, threads: int = 2) -> tuple[Network, dict, str]:
    """Loads an exported model.

    Args:
      path: a .tflite or .onnx file, or a SavedModel folder NAME/VERSION (or NAME: its highest version); or the name of
        a model that ships, "hiu_mobile" or "hiu_edge".
      threads: for the interpreter of the file.

    Returns:
      (network, card, engine): a function from crops [B, S, S, 3] to named arrays, the model's card
      (image size, faces, names, units), and the name of the engine that runs the model.

    Raises:
      ModelError: no such model, no card in or beside it, the model cannot be read, or no engine for it is installed.
    """
    path = model_path(path)
    return load_file(path, threads) if path.suffix in FILES else _load_saved_model(newest_version(path))


def model_card(path: str | Path) -> dict:
    """Reads the card of an exported model; `path` is as in `load_network`.

    Raises:
      ModelError: there is no card, or it is invalid.
    """
    path = model_path(path)
    if path.suffix in FILES and not path.is_file():
        raise ModelError(f"there is no model at {path}")
    return read_card(path if path.suffix in FILES else newest_version(path))


def newest_version(path):
    """The highest version in a SavedModel's folder NAME, or the folder itself if it is a version.

    Raises:
      ModelError: there is no such folder.
    """
    if not path.is_dir():
        raise ModelError(f"there is no model at {path}: give a .tflite or .onnx file or a SavedModel folder")
    versions = sorted((p for p in path.iterdir() if p.name.isdecimal()), key=lambda p: int(p.name))
    return versions[-1] if versions else path


def load_file(path: Path, threads: int = 2, kind: str = "hand") -> tuple[Network, dict, str]:
    """As `load_network`, for a .tflite or .onnx file with a network of the kind "hand" or "detector"."""
    if not path.is_file():
        raise ModelError(f"there is no model at {path}")
    content = path.read_bytes()  # read by Python: interpreters cannot open every file name
    card = read_card(path, content, kind)  # its checksum shows whether the file is complete
    engine, open_model = _ENGINES[path.suffix]()
    try:
        with without_chatter():
            run, shape = open_model(content, min(threads, cores()))
    except Exception as error:  # interpreters raise ValueError, RuntimeError, KeyError, and others
        raise ModelError(f"{engine} cannot read {path}: {error}") from error
    if shape[1:] != [card["image_size"], card["image_size"], 3]:
        raise ModelError(
            f"{path} takes crops {shape[1:]}, its card says {card['image_size']}: they do not belong together"
        )

    # A TFLite interpreter has one set of tensors: concurrent threads would read each other's outputs.
    turn = threading.Lock()
    fixed = shape[0]

    def network(crops):
        batch = fixed if fixed > 0 else max(len(crops), 1)
        with turn:
            parts = [run(_filled(crops[k : k + batch], batch)) for k in range(0, max(len(crops), 1), batch)]
        return {name: np.concatenate([part[name] for part in parts])[: len(crops)] for name in parts[0]}

    return network, card, engine


def _filled(crops, batch):
    """Pads crops with black ones to the file's batch size. Crops that need no padding are not copied."""
    missing = batch - len(crops)
    padded = np.pad(crops, [(0, missing), (0, 0), (0, 0), (0, 0)]) if missing else crops
    return np.ascontiguousarray(padded, np.float32)


def _load_saved_model(path):
    card = read_card(path)
    try:
        import tensorflow as tf
    except ModuleNotFoundError as error:
        words = install_words("train")
        raise ModelError(f"{path} is a SavedModel, which needs TensorFlow, a .tflite file does not: {words}") from error
    try:
        model = tf.saved_model.load(str(path))
        function = model.signatures[SIGNATURE]
    except Exception as error:  # TensorFlow raises many kinds of exceptions on damaged graphs
        raise ModelError(f"{path} is no SavedModel of this project: {error}") from error

    def network(crops):
        outputs = function(image=tf.constant(crops, tf.float32))
        return {name: tensor.numpy() for name, tensor in outputs.items()}

    network.model = model  # a signature alone does not keep its model alive
    return network, card, "tensorflow"


def cores() -> int:
    """Number of cores that this process may use. More threads do not help, and a thousand would stall the machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _tflite_engine():
    """The fastest installed TFLite interpreter: (its name, function (content, threads) -> (run, shape of the input))."""
    for name in INTERPRETERS:
        if name == _OF_NUMPY_1 and not np.__version__.startswith("1."):
            continue
        try:
            return name.split(".")[0], partial(_open_tflite, importlib.import_module(name))
        except ImportError:
            continue
    raise ModelError(NO_INTERPRETER)


def _open_tflite(module, content, threads):
    interpreter = module.Interpreter(model_content=content, num_threads=threads)
    interpreter.allocate_tensors()
    runner = interpreter.get_signature_runner(SIGNATURE)
    shape = [int(n) for n in runner.get_input_details()[keys.IMAGE]["shape_signature"]]
    return lambda crops: runner(**{keys.IMAGE: crops}), shape


def _onnx_engine():
    """ONNX Runtime, as `_tflite_engine`."""
    try:
        return "onnxruntime", partial(_open_onnx, importlib.import_module("onnxruntime"))
    except ImportError as error:
        raise ModelError(
            "no ONNX Runtime is installed: pip install 'hiu-tf[onnxruntime]' (Python 3.10 or newer)"
        ) from error


def _open_onnx(module, content, threads):
    options = module.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = _ERRORS
    session = module.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    shapes = {tensor.name: tensor.shape for tensor in session.get_inputs()}
    shape = [n if isinstance(n, int) else -1 for n in shapes[keys.IMAGE]]  # a free dimension has a name
    return lambda crops: dict(zip(names, session.run(names, {keys.IMAGE: crops}))), shape


#: Suffix of a file -> function that finds its engine.
_ENGINES = {".tflite": _tflite_engine, ".onnx": _onnx_engine}
