"""Writes predictions to files: JSON with names and units, meshes as Wavefront OBJ."""

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


#: Fields that are the same for every hand of a file.
HEADER = {"joint_names": JOINT_NAMES, "units": UNITS}
#: The large fields of a hand.
MESH = ("vertices",)


def prediction_json(prediction: Prediction, without: tuple[str, ...] = ()) -> dict:
    """Converts a prediction, without mask and the fields in `without`, to plain numbers in the units of `UNITS`."""
    names = [name for name in UNITS if name not in without]
    values = {name: np.round(np.asarray(getattr(prediction, name), float), 6).tolist() for name in names}
    header = {
        "side": prediction.side,
        "score": round(prediction.score, 4),
        "frame": prediction.frame,
        "hand": prediction.hand,
    }
    crop = prediction.crop
    where = {
        "centre": [round(float(v), 3) for v in crop.centre],
        "side": round(float(crop.side), 3),
        "mirrored": crop.mirrored,
        "angle": round(float(crop.angle), 4),
    }
    return header | {"crop": where} | values


def write_json(path: Path, content) -> None:
    """Writes a JSON file atomically."""
    write_text(path, json.dumps(content))


def prediction_meshes(hands: list[Prediction], faces: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """{name: (vertices, faces)} of hands, for `write_obj`. Flips faces of left hands, so that normals point outside."""
    return {
        f"hand_{number}_{hand.side}": (hand.vertices, faces[:, ::-1] if hand.side == "left" else faces)
        for number, hand in enumerate(hands, start=1)
    }


def write_obj(path: Path, meshes: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """Writes a Wavefront OBJ in metres with an object per mesh. y and z are negated, so that viewers show it upright.

    Args:
      path: of the file.
      meshes: name -> (vertices [V, 3], faces [F, 3] from 0).
    """
    lines, first = [], 1
    for name, (vertices, faces) in meshes.items():
        lines.append(f"o {name}")
        lines += ["v {:.6f} {:.6f} {:.6f}".format(*point) for point in vertices * np.array([1.0, -1.0, -1.0])]
        lines += ["f {} {} {}".format(*(face + first)) for face in faces]
        first += len(vertices)
    write_text(path, "\n".join(lines) + "\n")


def write_text(path: Path, text: str) -> None:
    """Writes a text file atomically."""
    with written_whole(path) as scratch:
        scratch.write_text(text)
