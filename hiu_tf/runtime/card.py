"""Reads and checks the card of an exported model: type and shape of every field that the runtime uses."""

from __future__ import annotations

import hashlib
import io
import json
import math
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hiu_tf.errors import UserError
from hiu_tf.runtime.onnx_metadata import metadata

CARD, SAVED_GRAPH = "model.json", "saved_model.pb"
#: Entry of an ONNX file's metadata: checksum of the file without this entry, so that it covers the card, too.
CHECKSUM = "sha256"
#: Scale of the window around a hand's box for cards without this field (before 0.2).
_OLD_SCALE = 1.6
#: Tasks of networks whose card does not name them, as in earlier cards.
_PAPER_TASKS = ("heatmaps", "mask", "pof", "hand")
_MOST_FACES = 1_000_000
#: A file of a SavedModel that a card may name: nothing outside its folder.
_PART = re.compile(r"saved_model\.pb|variables/[\w-][\w.-]*")


class ModelError(UserError):
    """A model file that cannot be used."""


def read_card(path: Path, content: bytes | None = None, kind: str = "hand") -> dict:
    """Reads the card of a .tflite file (inside it, or model.json beside it), an .onnx file or a version of a SavedModel.

    Args:
      path: of the file or folder.
      content: bytes of the file, if already read.
      kind: kind of model, a key of `FIELDS`.

    Raises:
      ModelError: there is no card, it is invalid, or it was written for another model.
    """
    if path.suffix not in FILES:
        return _of_saved_model(path, kind)
    return FILES[path.suffix](path, path.read_bytes() if content is None else content, kind)


def _of_saved_model(path, kind):
    card = checked(_content(path / "assets.extra" / CARD), path / "assets.extra" / CARD, kind)
    for name, wanted in card["files"].items():
        if (path / name).is_file() and wanted != checksum((path / name).read_bytes()):
            raise ModelError(
                f"{path / name} is damaged: it is not what the model's card was written for: copy it again"
            )
    return card


def _of_tflite(path, content, kind):
    file = io.BytesIO(content)
    try:
        if not zipfile.is_zipfile(file):
            return checked(_content(path.parent / CARD), path.parent / CARD, kind)
        with zipfile.ZipFile(file) as archive:
            card, start = checked(archive.read(CARD), path, kind), min(i.header_offset for i in archive.infolist())
    except UserError:
        raise
    except Exception as error:  # zipfile raises many kinds of exceptions on damaged archives
        raise ModelError(f"{path} is damaged: the card at its end cannot be read: copy it again ({error!r})") from error
    if "sha256" in card and card["sha256"] != checksum(content[:start]):
        raise ModelError(f"{path} is damaged: it is not what its card was written for: copy it again")
    return card


def _of_onnx(path, content, kind):
    try:
        text, _ = metadata(content, CARD)
        wanted, rest = metadata(content, CHECKSUM)
    except ValueError as error:
        raise ModelError(f"{path} is damaged or no ONNX file: copy it again ({error})") from error
    except KeyError as error:
        raise ModelError(f"{path} has no {error} in its metadata: write the file with hiu export") from error
    if wanted != checksum(rest).encode():
        raise ModelError(f"{path} is damaged: it is not what its checksum was written for: copy it again")
    return checked(text, path, kind)


#: Kinds of models that are one file: suffix -> function (path, content, kind) -> card.
FILES: dict[str, Callable[[Path, bytes, str], dict]] = {".tflite": _of_tflite, ".onnx": _of_onnx}


def checksum(content: bytes) -> str:
    """Checksum of a model's bytes, for its card. Interpreters do not check: damaged files crash or compute nonsense."""
    return hashlib.sha256(content).hexdigest()


def checked(content: bytes, where: Path, kind: str = "hand") -> dict:
    """Parses and checks the JSON of a card.

    Raises:
      ModelError: it is not a JSON object, or a field is missing or wrong; the message names the field.
    """
    try:
        card = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{where} is no model card: {error}") from error
    if not isinstance(card, dict):
        raise ModelError(f"{where} is no model card: it holds a {type(card).__name__}, not names and values")
    card = {
        "window_scale": _OLD_SCALE,
        "min_score": 0.0,
        "tasks": list(_PAPER_TASKS),
        "network": {},
        "files": {},
    } | card
    if "sha256" in card and not card["files"]:  # earlier cards knew the graph alone
        card["files"] = {SAVED_GRAPH: card["sha256"]}
    missing = [name for name in FIELDS[kind] if name not in card]
    if missing:
        raise ModelError(f"{where} is no model card of a {kind} network: it lacks {', '.join(missing)}")
    for name, (fits, wanted) in FIELDS[kind].items():
        if not fits(card[name]):
            raise ModelError(f"{where}: {name} must be {wanted}, got {_short(card[name])}")
    if np.max(card.get("faces", []), initial=0) >= card.get("vertices", _MOST_FACES):
        raise ModelError(f"{where}: faces point at vertices that do not exist")
    return card


def _is_text(value):
    return isinstance(value, str)


def _is_number(low: float, high: float) -> Callable:
    return lambda v: type(v) in (int, float) and math.isfinite(v) and low <= v <= high


def _is_array(columns: int, dtype: type, rows: int | None = None) -> Callable:
    """Makes a check for a list of rows with `columns` finite numbers each."""

    def fits(value):
        if not isinstance(value, list) or (rows is not None and len(value) != rows) or len(value) > _MOST_FACES:
            return False
        plain = all(isinstance(row, list) and len(row) == columns for row in value)
        numbers = (int,) if dtype is int else (int, float)
        return plain and all(type(v) in numbers and math.isfinite(v) and abs(v) < 2**31 for row in value for v in row)

    return fits


_EVERY = {
    "name": (_is_text, "text"),
    "hiu_tf": (_is_text, "text"),
    "input": (_is_text, "text"),
    "image_size": (lambda v: type(v) is int and 32 <= v <= 4096, "a whole number from 32 to 4096"),
    "min_score": (_is_number(0, 1), "a number from 0 to 1"),
    "outputs": (lambda v: isinstance(v, dict) and all(map(_is_text, v.values())), "names with texts"),
    "files": (
        lambda v: isinstance(v, dict) and all(_PART.fullmatch(k) and _is_text(w) for k, w in v.items()),
        "names of the model's files with checksums",
    ),
}
_HAND = {
    "tasks": (lambda v: isinstance(v, list) and all(map(_is_text, v)), "a list of texts"),
    "network": (lambda v: isinstance(v, dict), "names with values"),
    "window_scale": (_is_number(0.5, 10), "a number from 0.5 to 10"),
    "camera": (
        lambda v: _is_array(3, float, 3)(v) and min(v[0][0], v[1][1]) > 0,
        "3 x 3 numbers with focal lengths above 0",
    ),
    "faces": (
        lambda v: _is_array(3, int)(v) and len(v) > 0 and min(map(min, v)) >= 0,
        "rows of three numbers of vertices",
    ),
    "hand": (
        lambda v: isinstance(v, dict) and _is_text(v.get("name")) and _is_text(v.get("licence")),
        "a name and a licence",
    ),
}
#: Kind of model -> field of its card -> (check, description for the error).
FIELDS = {"hand": _EVERY | _HAND, "detector": _EVERY}


def _content(path):
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ModelError(
            f"the model's card {path} is missing: copy it along with the model (the folder of a run is exported first: hiu export)"
        ) from None


def _short(value):
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
