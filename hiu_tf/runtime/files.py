"""Pictures and clips from disk, predictions to disk."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from hiu_tf.atomic import scratch_folder, written_whole
from hiu_tf.errors import UserError
from hiu_tf.geometry.window import box_of
from hiu_tf.pictures import encode_png, is_ours, read_picture, readable_name
from hiu_tf.runtime.draw import draw_prediction
from hiu_tf.runtime.predictor import Predictor
from hiu_tf.runtime.results import prediction_json, write_json, write_obj

_LONGEST_OVERLAY = 640
#: Picture, skeleton, mask and mesh (runtime/draw.py).
_PANELS = 4
#: Below this mean confidence the hand counts as lost.
_LOST = 0.25
#: A lost hand is searched for in every so many frames; the search costs as much as many frames.
_SEARCH_EVERY = 25
#: What our JSON files start with.
MADE_BY = "hiu-tf"
_CLIP = b'{"made_by": "hiu-tf", "clip"'


def predict_picture(predictor: Predictor, path: Path, stem: Path, read: Callable = read_picture, **options) -> str:
    """Writes STEM.png, .json and .obj of one picture; returns a line for the terminal.

    Args:
      predictor: what reads the hand.
      path: of the picture.
      stem: of the results.
      read: path -> [H, W, 3] uint8 RGB.
      options: of `Predictor.predict`.
    """
    prediction = predictor.predict(picture := read(path), **options)
    if prediction is None:
        write_json(_with(stem, ".json"), {"made_by": MADE_BY, "picture": readable_name(path), "found": False})
        return f"{path}: no hand -> {stem}.json"
    _write(_with(stem, ".png"), encode_png(_overlay(picture, prediction, predictor.faces)))
    write_json(
        _with(stem, ".json"),
        {"made_by": MADE_BY, "picture": readable_name(path), "found": True} | prediction_json(prediction),
    )
    write_obj(_with(stem, ".obj"), prediction.vertices, predictor.faces, prediction.side == "left")
    return f"{path}: {prediction.side} hand, score {prediction.score:.2f} -> {stem}.png .json .obj"


def predict_clip(predictor: Predictor, path: Path, stem: Path, box=None, side=None, K=None, min_score=None) -> str:
    """Follows one hand through a clip; writes STEM.mp4 and .json; returns a line for the terminal.

    Frames are written as they come: a long clip takes no more memory than a short one.
    """
    film, log, scores = _with(stem, ".mp4"), _with(stem, ".json"), []
    with (
        plain_name(path) as readable,
        _film_folder(stem.parent) as folder,
        written_whole(log) as scratch,
    ):
        own, reader = _Film(Path(folder) / "clip.mp4"), cv2.VideoCapture(str(readable))
        rate = reader.get(cv2.CAP_PROP_FPS)
        rate = rate if 1 <= rate <= 1000 else 25.0
        header = {"made_by": MADE_BY, "clip": readable_name(path), "frames_per_second": rate, "frames": []}
        where, hand, least = box, side, predictor.card["min_score"] if min_score is None else min_score
        with scratch.open("w") as answers:
            answers.write(json.dumps(header)[:-2])
            for number, picture in enumerate(_pictures(reader, path.name)):
                prediction = predictor.predict(picture, box=where, side=hand, K=K, min_score=min_score)
                if prediction is not None and prediction.score < least:
                    prediction = None
                found = {"found": False} if prediction is None else {"found": True} | prediction_json(prediction)
                scores.append(0.0 if prediction is None else prediction.score)
                answers.write((", " if number else "") + json.dumps({"frame": number} | found))
                where, hand = _next_place(prediction, picture, where, side, search=(number + 1) % _SEARCH_EVERY == 0)
                own.write(_overlay(picture, prediction, predictor.faces), rate)
            answers.write("]}")
        if not scores:
            raise UserError("cannot be read as a clip")
        own.close()
        with written_whole(film) as target:
            shutil.copyfile(own.path, target)
    return f"{path}: {len(scores)} frames, mean score {np.mean(scores):.2f} -> {film} .json"


def _film_folder(out):
    """Beside the results, where the next start clears what a killed one left; elsewhere if OpenCV cannot write there."""
    plain = readable_name(out) == str(out)
    return scratch_folder(out) if plain else tempfile.TemporaryDirectory(prefix="hiu-")


class _Film:
    """A film in a folder of its own: OpenCV ends the process at names that are not UTF-8, this one is plain."""

    def __init__(self, path: Path):
        self.path, self._writer, self._size = path, None, None

    def write(self, drawn: np.ndarray, rate: float) -> None:
        """Adds a frame, RGB; all have the size of the first."""
        if self._writer is None:
            self._size = drawn.shape
            self._writer = cv2.VideoWriter(str(self.path), cv2.VideoWriter_fourcc(*"mp4v"), rate, drawn.shape[1::-1])
        if drawn.shape != self._size:  # without a mask there is a panel less
            drawn = np.pad(drawn, [(0, 0), (0, max(self._size[1] - drawn.shape[1], 0)), (0, 0)])[:, : self._size[1]]
        self._writer.write(np.ascontiguousarray(drawn[..., ::-1]))

    def close(self) -> None:
        """Writes the end of the file."""
        if self._writer is not None:
            self._writer.release()


def is_result(path: Path) -> bool:
    """Whether a file is an overlay that we have written: such a one is never read as an input."""
    if path.suffix.lower() == ".png":
        return is_ours(path)
    try:
        with open(path.with_suffix(".json"), "rb") as file:
            return path.suffix == ".mp4" and file.read(len(_CLIP)) == _CLIP
    except OSError:
        return False


@contextmanager
def plain_name(path: Path) -> Iterator[Path]:
    """The path itself, or where its name is not UTF-8 a link to it that is."""
    if readable_name(path) == str(path):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="hiu-") as folder:
        link = Path(folder) / f"clip{path.suffix if path.suffix.isascii() else ''}"
        link.symlink_to(path.resolve())
        yield link


def _pictures(reader, name):
    """The frames of an open clip as RGB, with a progress bar."""
    from tqdm import tqdm

    for _ in tqdm(range(int(reader.get(cv2.CAP_PROP_FRAME_COUNT))), desc=name, unit="frame"):
        good, frame = reader.read()
        if not good:
            return
        yield np.ascontiguousarray(frame[..., ::-1])


def _with(stem, suffix):
    """The stem with something after it; a dot in its name stays."""
    return stem.with_name(stem.name + suffix)


def _next_place(prediction, picture, box, side, search):
    """Box and side for the next frame: where the hand is now; of a lost one, where it was or (None) anywhere."""
    height, width = picture.shape[:2]
    if prediction is None:
        return (None if search else box or (0, 0, width, height)), side
    x, y, w, h = found = box_of(prediction.joints_2d)
    visible = x < width and y < height and x + w > 0 and y + h > 0
    credible = max(w, h) <= 2 * max(width, height)  # a box that grows and grows follows nothing
    if prediction.score >= _LOST and visible and credible:
        return found, prediction.side
    return (None if search else box or (0, 0, width, height)), side


def _overlay(picture, prediction, faces):
    """The overlay at a size that people can look at; without a hand the picture alone, as wide."""
    scale = min(1.0, _LONGEST_OVERLAY / max(picture.shape[:2]))
    if scale < 1:
        size = [max(1, round(scale * length)) for length in picture.shape[1::-1]]
        shrink = lambda image: cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        move = lambda points: (points + 0.5) * scale - 0.5
        picture = shrink(picture)
    if prediction is None:
        return np.concatenate([picture] * _PANELS, axis=1)
    if scale < 1:
        prediction = replace(
            prediction,
            mask=None if prediction.mask is None else shrink(prediction.mask),
            joints_2d=move(prediction.joints_2d),
            vertices_2d=move(prediction.vertices_2d),
        )
    return draw_prediction(picture, prediction, faces)


def _write(path, content):
    with written_whole(path) as scratch:
        scratch.write_bytes(content)
