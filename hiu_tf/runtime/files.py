"""Predicts pictures and clips from disk and writes the results to disk."""

from __future__ import annotations

import glob
import json
import math
import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TextIO

import cv2
import numpy as np
from tqdm import tqdm

from hiu_tf.atomic import scratch_folder, written_whole
from hiu_tf.errors import UserError
from hiu_tf.hand.gltf import glb_bytes
from hiu_tf.pictures import PICTURES, is_ours, readable_name
from hiu_tf.runtime.clips import opened, shown_name
from hiu_tf.runtime.draw import overlay
from hiu_tf.runtime.moving import Movement
from hiu_tf.runtime.prediction import Hands
from hiu_tf.runtime.predictor import Predictor
from hiu_tf.runtime.results import HEADER, LONGEST_PANEL, MADE_BY, MESH, prediction_json, save
from hiu_tf.runtime.screen import Screen
from hiu_tf.runtime.sources import open_picture
from hiu_tf.runtime.tracker import follow

#: Suffixes that `predict_picture` writes by default.
USUAL = (".png", ".json", ".obj")
#: Formats that are also written for a picture without hands.
_ALWAYS = (".json",)
#: What the first bytes of our files contain; overlays have a mark of their own.
_MARKS = {
    ".json": b'{"made_by": "hiu-tf"',
    ".jsonl": b'{"made_by": "hiu-tf", "clip"',
    ".obj": b"o hand_1_",
    ".ply": b"ply\nformat binary_little_endian 1.0\ncomment metres\n",
    ".glb": b'"generator":"hiu-tf"',
}
_FIRST_BYTES = 4096
#: Limit of the numerator of a rate in MPEG-4.
_MOST_OF_RATE = 65535


def predict_picture(
    predictor: Predictor,
    path: Path | str,
    stem: Path,
    read: Callable = open_picture,
    formats: Sequence[str] = USUAL,
    compact: bool = False,
    screen: Screen | None = None,
    **options,
) -> str:
    """Predicts one picture and writes STEM with the suffix of each format. Returns a line for the terminal.

    Args:
      predictor: a `Predictor`.
      path: of the picture, or its http(s) address.
      stem: path of the results without suffix.
      read: path -> ([H, W, 3] uint8 RGB, name).
      formats: suffixes (results.FORMATS). Without a hand only JSON is written.
      compact: leave the vertices out of the JSON.
      screen: also shows the results there, until a key is pressed.
      options: arguments of `Predictor.predict`.

    Raises:
      UserError: a file of that name is there that is not a result of ours.
    """
    _refuse_foreign(_with(stem, suffix) for suffix in formats)
    picture, name = read(path)
    hands = predictor.predict(picture, **options)
    hands.name = name
    written = [suffix for suffix in formats if hands or suffix in _ALWAYS]
    for suffix in written:
        save(_with(stem, suffix), hands, _without(compact))
    for suffix in set(formats) - set(written):  # left by an earlier run
        _with(stem, suffix).unlink(missing_ok=True)
    if screen and screen.is_open:
        screen.picture(overlay(hands.picture, hands, LONGEST_PANEL))
    words = ", ".join(f"{hand.side} hand {hand.score:.2f}" for hand in hands) or "no hand"
    return f"{hands.name}: {words} -> {stem}{' '.join(written)}"


def predict_clip(
    predictor: Predictor,
    path: Path | str,
    stem: Path,
    compact: bool = False,
    smooth: float = 0.5,
    seconds: float | None = None,
    meshes: bool = False,
    quiet: bool = False,
    screen: Screen | None = None,
    **options,
) -> str:
    """Tracks the hands of a clip or a camera and writes STEM.mp4 and .jsonl. Returns a line for the terminal.

    Args:
      predictor: a `Predictor`.
      path: of the clip; as a string the number of a camera or the address of a stream, which Ctrl-C ends.
      stem: path of the results without suffix.
      compact: leave the vertices out of the JSON.
      smooth: as in `follow`.
      seconds: duration to record of a stream; None: to its end.
      meshes: also write STEM_hand_N.glb for each hand: its mesh with skeleton and movement (runtime/moving.py).
      quiet: show no progress bar.
      screen: also shows the frames there; when it is closed, the clip ends.
      options: arguments of `Tracker`.

    Raises:
      UserError: a file of that name is there that is not a result of ours, or there was no frame.

    The first line of the .jsonl contains what is common to all frames; one line per frame follows. Frames are
    written as they come, so that memory does not grow with the length of the clip (but by the key frames of `meshes`).
    """
    _refuse_foreign([_with(stem, ".jsonl"), _with(stem, ".mp4"), *(_movements(stem) if meshes else ())])
    log, name = _with(stem, ".jsonl"), path.name if isinstance(path, Path) else shown_name(path)
    with opened(path, seconds) as clip, _film_folder(stem.parent) as folder, written_whole(log) as scratch:
        film = _Film(Path(folder) / "clip.mp4")
        header = {"made_by": MADE_BY, "clip": shown_name(path), "frames_per_second": clip.rate, **HEADER}
        with scratch.open("w") as answers:
            answers.write(json.dumps(header) + "\n")
            record = _Record(film, answers, clip.rate, compact, meshes)
            frames = follow(predictor, clip.frames, clip.rate, smooth, **options)
            progress = tqdm(frames, desc=name, unit="frame", disable=quiet or None, total=clip.length)
            with suppress(KeyboardInterrupt) if clip.length is None else nullcontext():
                for hands in progress:
                    drawn = record.add(hands)
                    if screen and screen.is_open and not screen.frame(drawn):
                        break
        if not film.frames:
            raise UserError(f"{shown_name(path)}: it ended before the first frame")
        film.close()
        with written_whole(_with(stem, ".mp4")) as target:
            shutil.copyfile(film.path, target)
    moves = record.moves()
    if meshes:
        _write_movements(stem, moves, smooth)
    more = f" and {len(moves)} .glb" if moves else ""
    return f"{shown_name(path)}: {record.words()} -> {_with(stem, '.mp4')} .jsonl{more}"


class _Record:
    """What is written of a clip while its frames come: a drawing and a line of each, and the movements of the hands."""

    def __init__(self, film: _Film, answers: TextIO, rate: float, compact: bool, meshes: bool):
        self._film, self._answers, self._rate, self._compact, self._meshes = film, answers, rate, compact, meshes
        self._moves: dict[tuple[int, str], Movement] = {}  # by number and side, which the tracker may correct
        self._with_hands, self._followed = 0, set()

    def add(self, hands: Hands) -> np.ndarray:
        """Writes the next frame. Returns its drawing, RGB."""
        number = self._film.frames
        rows = [prediction_json(hand, _without(self._compact)) for hand in hands]
        self._answers.write(json.dumps({"frame": number, "hands": rows}) + "\n")
        drawn = overlay(hands.picture, hands, LONGEST_PANEL)
        self._film.write(drawn, self._rate)
        for hand in hands if self._meshes else ():
            move = self._moves.setdefault((hand.number, hand.side), Movement(f"hand_{hand.number}_{hand.side}"))
            move.add(number / self._rate, hand)
        self._with_hands += len(hands) > 0
        self._followed |= {hand.number for hand in hands}
        return drawn

    def moves(self) -> dict[int, Movement]:
        """The movement of each hand, by its number: as the side that it had in most frames."""
        longest_last = sorted(self._moves.items(), key=lambda item: len(item[1]))
        found = {number: move for (number, _), move in longest_last}
        return dict(sorted(found.items()))

    def words(self) -> str:
        """How many frames and hands there were."""
        return f"{self._film.frames} frames, {self._with_hands} with hands, {len(self._followed)} hand(s) followed"


def _write_movements(stem, moves, smooth):
    """Writes STEM_hand_N.glb for each hand, in place of those of an earlier run."""
    for old in _movements(stem):
        old.unlink()
    for who, move in moves.items():
        with written_whole(_with(stem, f"_hand_{who}.glb")) as target:
            target.write_bytes(glb_bytes([move.skinned(smooth)]))


def _movements(stem):
    """The files of movements that are there."""
    return list(stem.parent.glob(f"{glob.escape(stem.name)}_hand_[0-9]*.glb"))


def _without(compact):
    return MESH if compact else ()


def _film_folder(out):
    """Folder for an unfinished film: beside the results (the next start clears leftovers) if OpenCV can write there."""
    plain = readable_name(out) == str(out)
    return scratch_folder(out) if plain else tempfile.TemporaryDirectory(prefix="hiu-")


class _Film:
    """A film in a folder with a plain name: OpenCV aborts the process for file names that are not UTF-8.

    Attributes:
      path: of the file.
      frames: number of frames written.
    """

    def __init__(self, path: Path):
        self.path, self.frames, self._writer, self._size = path, 0, None, None

    def write(self, drawn: np.ndarray, rate: float) -> None:
        """Adds a frame, RGB; all frames get the size of the first.

        Raises:
          UserError: OpenCV cannot write such a film.
        """
        if self._writer is None:
            self._size = drawn.shape
            self._writer = _film_writer(self.path, rate, drawn.shape[1::-1])
        # A frame without masks has one panel less, and a stream may change its size.
        missing = [(0, max(wanted - given, 0)) for wanted, given in zip(self._size, drawn.shape)]
        drawn = np.pad(drawn, missing)[: self._size[0], : self._size[1]]
        self._writer.write(np.ascontiguousarray(drawn[..., ::-1]))
        self.frames += 1

    def close(self) -> None:
        """Finishes the file."""
        if self._writer is not None:
            self._writer.release()


def _film_writer(path, rate, size):
    """MPEG-4 keeps a rate as a fraction with a numerator of 16 bits: 119.643 frames a second become 119.64."""
    decimals = min(int(math.log10(_MOST_OF_RATE / max(rate, 1.0))), 3)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), round(rate, decimals), size)
    if not writer.isOpened():
        raise UserError(f"OpenCV cannot write a film of {size[0]}x{size[1]} pixels at {rate:g} frames a second")
    return writer


def is_result(path: Path) -> bool:
    """Whether a file was written by us. Overlays are never read as inputs, and no other file is overwritten."""
    suffix = path.suffix.lower()
    if suffix in PICTURES:
        return is_ours(path)
    if suffix == ".mp4":  # its mark is the log beside it
        return is_result(path.with_suffix(".jsonl"))
    try:
        with open(path, "rb") as file:
            return suffix in _MARKS and _MARKS[suffix] in file.read(_FIRST_BYTES)
    except OSError:
        return False


def _refuse_foreign(paths):
    """Refuses to overwrite, or to delete as left by an earlier run, what is no result of ours."""
    for path in paths:
        if path.exists() and not is_result(path):
            raise UserError(f"{path} is in the way and is no result of hiu predict: move it, or give another --out")


def _with(stem, suffix):
    """Appends a suffix to the stem; dots in the stem are kept."""
    return stem.with_name(stem.name + suffix)
