"""Predictions as files: JSON with names and units, mesh as Wavefront OBJ."""

import json
from pathlib import Path

import numpy as np

from hiu_tf.atomic import written_whole
from hiu_tf.conventions.skeleton import JOINT_NAMES
from hiu_tf.runtime.predictor import Prediction

UNITS = {
    "joints_2d": "pixels of the picture (x, y)",
    "joints_2d_projected": "pixels of the picture (x, y)",
    "joint_scores": "0..1",
    "joints_3d": "metres, x right, y down, z forward",
    "vertices": "metres, x right, y down, z forward",
    "shape": "standard deviations",
    "pose": "radians, axis-angle per joint, 15 x 3",
    "rotation": "radians, axis-angle",
    "translation": "metres",
}


def prediction_json(prediction: Prediction) -> dict:
    """Everything but the mask as plain numbers, with units."""
    values = {name: np.round(np.asarray(getattr(prediction, name), float), 6).tolist() for name in UNITS}
    header = {
        "side": prediction.side,
        "score": round(prediction.score, 4),
        "frame": prediction.frame,
        "hand": prediction.hand,
        "joint_names": JOINT_NAMES,
    }
    crop = prediction.crop
    where = {
        "centre": [round(float(v), 3) for v in crop.centre],
        "side": round(float(crop.side), 3),
        "mirrored": crop.mirrored,
        "angle": round(float(crop.angle), 4),
    }
    return header | {"crop": where, "units": UNITS} | values


def write_json(path: Path, content) -> None:
    """Writes a JSON file, whole or not at all."""
    write_text(path, json.dumps(content))


def write_obj(path: Path, vertices: np.ndarray, faces: np.ndarray, flip_faces: bool) -> None:
    """A Wavefront OBJ in metres; y and z are turned so that viewers show it upright.

    `flip_faces` keeps the normals outside for a mirrored (left) hand.
    """
    points = vertices * np.array([1.0, -1.0, -1.0])
    order = faces[:, ::-1] if flip_faces else faces
    lines = ["v {:.6f} {:.6f} {:.6f}".format(*point) for point in points]
    lines += ["f {} {} {}".format(*(face + 1)) for face in order]
    write_text(path, "\n".join(lines) + "\n")


def write_text(path: Path, text: str) -> None:
    """Writes a text file, whole or not at all."""
    with written_whole(path) as scratch:
        scratch.write_text(text)
