"""Predictions -> files: one function for each format, in the table FORMATS."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hiu_tf.atomic import written_whole
from hiu_tf.conventions.skeleton import JOINT_NAMES
from hiu_tf.errors import UserError
from hiu_tf.hand.anatomy import SKIN_COLOR
from hiu_tf.pictures import encode_jpeg, encode_png
from hiu_tf.runtime.draw import overlay
from hiu_tf.runtime.moving import picture_glb

if TYPE_CHECKING:
    from hiu_tf.runtime.prediction import Hands, Prediction

#: Fields of a hand that are arrays, and their units.
ARRAYS = {
    "box": "pixels of the picture (x, y, width, height)",
    "joints_2d": "pixels of the picture (x, y)",
    "joints_2d_projected": "pixels of the picture (x, y)",
    "joint_scores": "0..1",
    "joints_3d": "metres, x right, y down, z forward",
    "vertices": "metres, x right, y down, z forward",
    "shape": "standard deviations",
    "pose": "radians, axis-angle per joint, 15 x 3; of a left hand's mirror image",
    "rotation": "radians, axis-angle, in the network's own crop: turned by the crop's angle, of a left hand's mirror image, not in `frame`",
    "translation": "metres, in the network's own crop, as the rotation",
}
UNITS = ARRAYS | {
    "score": "0..1",
    "side_score": "probability of the side, 0..1",
    "pinch": "distance of the tips of thumb and index finger, in lengths of the palm",
    "crop": "pixels of the picture (centre x, y; side), radians (angle)",
    "frame": "of what is in metres: crop (a camera that looks at the crop) or camera (that of the picture, if K was given)",
}

#: Value of the first key, "made_by", of our JSON files.
MADE_BY = "hiu-tf"
#: Fields that are the same for every hand of a file.
HEADER = {"joint_names": JOINT_NAMES, "units": UNITS}
#: The large fields of a hand.
MESH = ("vertices",)
#: Longest side in pixels of a panel of the drawings in files.
LONGEST_PANEL = 640


def prediction_json(prediction: Prediction, without: Sequence[str] = ()) -> dict:
    """Converts a prediction, without mask and the fields in `without`, to plain numbers in the units of `UNITS`."""
    names = [name for name in ARRAYS if name not in without]
    values = {name: np.round(np.asarray(getattr(prediction, name), float), 6).tolist() for name in names}
    header = {
        "side": prediction.side,
        "side_score": None if prediction.side_score is None else round(prediction.side_score, 4),
        "score": round(prediction.score, 4),
        "gesture": prediction.gesture,
        "pinch": round(prediction.pinch, 3),
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
    number = {} if prediction.number is None else {"id": prediction.number}
    return number | header | {"crop": where} | values


def hands_json(hands: Hands, without: Sequence[str] = ()) -> dict:
    """The content of a .json file: the picture's name, the units, and `prediction_json` of each hand."""
    rows = [prediction_json(hand, without) for hand in hands]
    return {"made_by": MADE_BY, "picture": hands.name, **HEADER, "hands": rows}


def save(path: Path, hands: Hands, without: Sequence[str] = ()) -> Path:
    """Writes a file atomically in the format of its suffix. Returns the path.

    Args:
      path: of the file.
      hands: of one picture.
      without: fields to leave out of a .json file.

    Raises:
      UserError: no format has this suffix.
    """
    write = FORMATS.get(path.suffix.lower())
    if write is None:
        raise UserError(f"{path}: the suffix must be one of {', '.join(FORMATS)}")
    with written_whole(path) as scratch:
        scratch.write_bytes(write(hands, without))
    return path


def write_json(path: Path, content) -> None:
    """Writes a JSON file atomically."""
    write_text(path, json.dumps(content))


def write_text(path: Path, text: str) -> None:
    """Writes a text file atomically."""
    with written_whole(path) as scratch:
        scratch.write_text(text)


def obj_text(meshes: dict[str, tuple[np.ndarray, np.ndarray]]) -> str:
    """Meshes as Wavefront OBJ in metres, an object for each. y and z are negated, so that viewers show it upright.

    Args:
      meshes: name -> (vertices [V, 3], faces [F, 3] from 0).
    """
    lines, first = [], 1
    for name, (vertices, faces) in meshes.items():
        lines.append(f"o {name}")
        lines += ["v {:.6f} {:.6f} {:.6f}".format(*point) for point in _y_up(vertices)]
        lines += ["f {} {} {}".format(*(face + first)) for face in faces]
        first += len(vertices)
    return "\n".join(lines) + "\n"


def ply_bytes(vertices: np.ndarray, faces: np.ndarray, colors: np.ndarray | None = None) -> bytes:
    """A mesh as binary PLY in metres with vertex colours. y and z are negated, so that viewers show it upright.

    Args:
      vertices: [V, 3].
      faces: [F, 3] from 0.
      colors: [V, 3] in [0, 1]; None: the colour of skin.
    """
    colors = np.broadcast_to(SKIN_COLOR, vertices.shape) if colors is None else colors
    points = np.empty(len(vertices), [("at", "<f4", 3), ("color", "u1", 3)])
    points["at"], points["color"] = _y_up(vertices), np.round(255 * np.clip(colors, 0, 1))
    triangles = np.empty(len(faces), [("count", "u1"), ("corners", "<i4", 3)])
    triangles["count"], triangles["corners"] = 3, faces
    header = [
        "ply",
        "format binary_little_endian 1.0",
        "comment metres",
        f"element vertex {len(points)}",
        *(f"property float {axis}" for axis in "xyz"),
        *(f"property uchar {name}" for name in ("red", "green", "blue")),
        f"element face {len(triangles)}",
        "property list uchar int vertex_indices",
        "end_header\n",
    ]
    return "\n".join(header).encode() + points.tobytes() + triangles.tobytes()


def _y_up(vertices):
    return vertices * np.array([1.0, -1.0, -1.0])


def _png(hands, without):
    del without
    return encode_png(overlay(hands.picture, hands, LONGEST_PANEL))


def _jpeg(hands, without):
    del without
    return encode_jpeg(overlay(hands.picture, hands, LONGEST_PANEL))


def _json(hands, without):
    return json.dumps(hands_json(hands, without)).encode()


def _obj(hands, without):
    del without
    meshes = {f"hand_{k}_{hand.side}": (hand.vertices, hand.faces) for k, hand in enumerate(hands, start=1)}
    return obj_text(meshes).encode()


def _ply(hands, without):
    """All hands as one mesh: PLY has no objects."""
    del without
    starts = np.cumsum([0, *(len(hand.vertices) for hand in hands)])
    vertices = np.concatenate([np.empty((0, 3)), *(hand.vertices for hand in hands)])
    faces = [hand.faces + start for hand, start in zip(hands, starts)]
    return ply_bytes(vertices, np.concatenate([np.empty((0, 3), np.int32), *faces]))


def _glb(hands, without):
    del without
    return picture_glb(hands)


#: Suffix -> function: (hands of a picture, fields to leave out of the JSON) -> content of the file.
FORMATS: dict[str, Callable[[Hands, Sequence[str]], bytes]] = {
    ".png": _png,
    ".jpg": _jpeg,
    ".jpeg": _jpeg,
    ".json": _json,
    ".obj": _obj,
    ".ply": _ply,
    ".glb": _glb,
}
