"""Where the numbers come from: a .tflite file or a SavedModel folder, behind one function."""

from __future__ import annotations

import importlib
import json
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hiu_tf.errors import UserError

#: TFLite interpreters, the fastest first.
INTERPRETERS = ("ai_edge_litert.interpreter", "tflite_runtime.interpreter", "tensorflow.lite.python.interpreter")
SIGNATURE = "tensor"
CARD = "model.json"
#: What a model's card must say for the runtime to use it.
_CARD = ("name", "hiu_tf", "image_size", "input", "outputs", "camera", "faces", "hand")

Network = Callable[[np.ndarray], dict[str, np.ndarray]]
#: Side of the window around a hand's box, where a card does not say it: cards before 0.2 did not.
_OLD_SCALE = 1.6


class ModelError(UserError):
    """A model file that cannot be used."""


def load_network(path: str | Path, threads: int = 2) -> tuple[Network, dict, str]:
    """Loads an exported model.

    Args:
      path: a .tflite file, or a SavedModel folder NAME/VERSION (or NAME: its highest version).
      threads: for the TFLite interpreter.

    Returns:
      (network, card, engine): a function from crops [B, S, S, 3] to named arrays, the model's card
      (image size, faces, names, units), and the name of what runs it.

    Raises:
      ModelError: no such model, no card beside it, or it cannot be read.
    """
    path = Path(path)
    return _load_tflite(path, threads) if path.suffix == ".tflite" else _load_saved_model(newest_version(path))


def read_card(path: str | Path) -> dict:
    """The card of an exported model.

    Raises:
      ModelError: there is none, or it is no card.
    """
    path = Path(path)
    if path.suffix != ".tflite":
        return _parsed_card(newest_version(path) / "assets.extra" / CARD)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return _parsed(archive.read(CARD), path)
    return _parsed_card(path.parent / CARD)


def server_network(address: str, model: str) -> Network:
    """The network behind a TF Serving server, by its name there."""
    from hiu_tf.serving.client import connect

    client = connect(address, model)
    return lambda crops: client.predict(SIGNATURE, image=np.asarray(crops, np.float32))


def newest_version(path):
    """The highest version in a SavedModel's folder NAME, or the folder itself where it is a version.

    Raises:
      ModelError: there is no such folder.
    """
    if not path.is_dir():
        raise ModelError(f"there is no model at {path}: give a .tflite file or a SavedModel folder")
    versions = sorted((p for p in path.iterdir() if p.name.isdecimal()), key=lambda p: int(p.name))
    return versions[-1] if versions else path


def _load_tflite(path, threads):
    if not path.is_file():
        raise ModelError(f"there is no model at {path}")
    engine, module = _interpreter()
    try:
        interpreter = module.Interpreter(model_path=str(path), num_threads=threads)
        runner = interpreter.get_signature_runner(SIGNATURE)
    except (ValueError, RuntimeError) as error:
        raise ModelError(f"{engine} cannot read {path}: {error}") from error

    # An interpreter has one set of tensors: two threads in it at once would read each other's answers.
    turn = threading.Lock()
    fixed = int(runner.get_input_details()["image"]["shape_signature"][0])

    def network(crops):
        batch = fixed if fixed > 0 else max(len(crops), 1)
        with turn:
            parts = [runner(image=_filled(crops[k : k + batch], batch)) for k in range(0, max(len(crops), 1), batch)]
        return {name: np.concatenate([part[name] for part in parts])[: len(crops)] for name in parts[0]}

    return network, read_card(path), engine


def _filled(crops, batch):
    """Crops as the file's batch; black ones fill it."""
    return np.pad(crops, [(0, batch - len(crops)), (0, 0), (0, 0), (0, 0)]).astype(np.float32)


def _load_saved_model(path):
    import tensorflow as tf

    try:
        model = tf.saved_model.load(str(path))
        function = model.signatures[SIGNATURE]
    except (OSError, KeyError, IndexError, ValueError, tf.errors.OpError) as error:
        raise ModelError(f"{path} is no SavedModel of this project: {error}") from error

    def network(crops):
        outputs = function(image=tf.constant(crops, tf.float32))
        return {name: tensor.numpy() for name, tensor in outputs.items()}

    network.model = model  # a signature does not keep its model alive
    return network, read_card(path), "tensorflow"


def _interpreter():
    for name in INTERPRETERS:
        try:
            return name.split(".")[0], importlib.import_module(name)
        except ImportError:
            continue
    raise ModelError(f"no TFLite interpreter is installed; any of these will do: {', '.join(INTERPRETERS)}")


def _parsed_card(path):
    if not path.is_file():
        raise ModelError(f"the model's card {path} is missing: copy it along with the model")
    return _parsed(path.read_bytes(), path)


def _parsed(content, path):
    try:
        card = json.loads(content)
        missing = [name for name in _CARD if name not in card]
        card.setdefault("window_scale", _OLD_SCALE)
    except (ValueError, TypeError, AttributeError) as error:
        raise ModelError(f"{path} is no model card: {error}") from error
    if missing or not isinstance(card, dict):
        raise ModelError(f"{path} is no model card: it lacks {', '.join(missing)}")
    return card
