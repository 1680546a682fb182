"""Good inputs for the doors: a picture, the small model that run.py exports, and a server's answers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np


def scene():
    """A picture [60, 80, 3] with some content."""
    import cv2

    return cv2.resize(np.random.default_rng(1).integers(0, 255, (8, 10, 3), dtype=np.uint8), (80, 60))


def tiny_file(folder: Path) -> Path:
    """A copy of the small model exported by `run.py`."""
    return Path(shutil.copy(folder.parent / "tiny.tflite", folder / "tiny.tflite"))


def tiny_saved(folder: Path) -> Path:
    """The same model as a version of a SavedModel."""
    return Path(shutil.copytree(folder.parent / "tiny" / "1", folder / "tiny" / "1"))


def card_of(folder: Path) -> dict:
    """Card of the small model."""
    return json.loads((folder.parent / "tiny" / "1" / "assets.extra" / "model.json").read_text())


def served_answers(folder: Path, as_json: bool = True) -> dict:
    """A server's replies for one crop, by signature: those of REST, or those of gRPC."""
    import base64

    import cv2
    import tensorflow as tf

    model = tf.saved_model.load(str(folder.parent / "tiny" / "1"))
    crop = cv2.resize(scene(), (64, 64))
    encoded = {"image_bytes": tf.constant([cv2.imencode(".png", crop)[1].tobytes()])}
    crops = {"image": tf.constant(crop[np.newaxis], tf.uint8)}
    found = {}
    sent = {"mesh": encoded, "mask": encoded} if as_json else {"tensor_uint8": crops}
    for name, inputs in sent.items():
        arrays = {k: v.numpy() for k, v in model.signatures[name](**inputs).items()}
        if "vertices" in arrays:
            arrays["vertices"] = arrays["vertices"][:, :20]
        plain = {
            k: [{"b64": base64.b64encode(v).decode()} for v in a] if a.dtype == object else a.tolist()
            for k, a in arrays.items()
        }
        found[name] = {"outputs": plain} if as_json else arrays
    return found
