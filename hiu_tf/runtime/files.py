"""Predicts pictures and clips from disk and writes the results to disk."""

from __future__ import annotations

import glob
import itertools
import json
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from hiu_tf.atomic import scratch_folder, written_whole
from hiu_tf.errors import UserError
from hiu_tf.hand.gltf import glb_bytes
from hiu_tf.pictures import encode_png, is_ours, read_picture, readable_name
from hiu_tf.runtime.draw import draw_hands
from hiu_tf.runtime.moving import Movement, picture_glb, usual_camera
from hiu_tf.runtime.predictor import Predictor
from hiu_tf.runtime.results import HEADER, MESH, prediction_json, prediction_meshes, write_json, write_obj
from hiu_tf.runtime.smoothing import Smoother
from hiu_tf.runtime.tracker import Tracker

_LONGEST_OVERLAY = 640
#: Value of the first key, "made_by", of our JSON files.
MADE_BY = "hiu-tf"
_CLIP = b'{"made_by": "hiu-tf", "clip"'


def predict_picture(
    predictor: Predictor,
    path: Path,
    stem: Path,
    read: Callable = read_picture,
    compact: bool = False,
    mesh: str = "obj",
    **options,
) -> str:
    """Predicts one picture and writes STEM.png, .json and the mesh. Returns a line for the terminal.

    Args:
      predictor: a `Predictor`.
      path: of the picture.
      stem: path of the results without suffix.
      read: path -> [H, W, 3] uint8 RGB.
      compact: leave the vertices out of the JSON.
      mesh: "obj", or "glb": textured, with skeletons, in the frame of K or of an ordinary camera.
      options: arguments of `Predictor.predict`.
    """
    hands = predictor.predict(picture := read(path), **options)
    content = {"made_by": MADE_BY, "picture": readable_name(path), **HEADER}
    write_json(_with(stem, ".json"), content | {"hands": [prediction_json(hand, _without(compact)) for hand in hands]})
    if not hands:
        for suffix in (".png", ".obj", ".glb"):  # left by an earlier run
            _with(stem, suffix).unlink(missing_ok=True)
        return f"{path}: no hand -> {stem}.json"
    _write(_with(stem, ".png"), encode_png(_overlay(picture, hands, predictor.faces)))
    if mesh == "glb":
        _write(_with(stem, ".glb"), picture_glb(hands, predictor.hand, _camera(options, picture)))
    else:
        write_obj(_with(stem, ".obj"), prediction_meshes(hands, predictor.faces))
    words = ", ".join(f"{hand.side} hand {hand.score:.2f}" for hand in hands)
    return f"{path}: {words} -> {stem}.png .json .{mesh}"


def predict_clip(
    predictor: Predictor,
    path: Path | str,
    stem: Path,
    compact: bool = False,
    smooth: float = 0.5,
    seconds: float | None = None,
    mesh: str = "obj",
    **options,
) -> str:
    """Tracks the hands of a clip or a camera and writes STEM.mp4 and .jsonl. Returns a line for the terminal.

    Args:
      predictor: a `Predictor`.
      path: of the clip; as a string the number of a camera or the address of a stream, which Ctrl-C ends.
      stem: path of the results without suffix.
      seconds: duration to record of a stream; None: to its end.
      compact: leave the vertices out of the JSON.
      smooth: strength of each hand's temporal filter, from 0 to 1 (runtime/smoothing.py).
      mesh: "glb" also writes STEM_hand_N.glb for each hand: its mesh with skeleton and movement (runtime/moving.py).
      options: arguments of `Tracker`.

    The first line of the .jsonl contains what is common to all frames; one line per frame follows. Frames are
    written as they come, so that memory does not grow with the length of the clip (but by the key frames of a GLB).
    """
    film, log, counts, numbers = _with(stem, ".mp4"), _with(stem, ".jsonl"), [], set()
    moves = {}
    with (
        plain_name(path) if isinstance(path, Path) else nullcontext(path) as readable,
        _film_folder(stem.parent) as folder,
        written_whole(log) as scratch,
    ):
        own, reader = _Film(Path(folder) / "clip.mp4"), _reader(readable)
        rate = reader.get(cv2.CAP_PROP_FPS)
        rate = rate if 1 <= rate <= 1000 else 25.0
        header = {"made_by": MADE_BY, "clip": shown_name(path), "frames_per_second": rate, **HEADER}
        follow, steady = Tracker(predictor, **options), defaultdict(lambda: Smoother(rate, smooth))
        with scratch.open("w") as answers:
            answers.write(json.dumps(header) + "\n")
            for number, picture in enumerate(_pictures(reader, path, seconds)):
                hands = [(who, steady[who](hand)) for who, hand in follow(picture)]
                for gone in steady.keys() - follow.numbers:  # each keeps a whole prediction in memory
                    del steady[gone]
                rows = [{"id": who} | prediction_json(hand, _without(compact)) for who, hand in hands]
                answers.write(json.dumps({"frame": number, "hands": rows}) + "\n")
                own.write(_overlay(picture, [hand for _, hand in hands], predictor.faces), rate)
                for who, hand in hands if mesh == "glb" else ():
                    move = moves.setdefault(who, Movement(predictor.hand, f"hand_{who}_{hand.side}"))
                    move.add(number / rate, hand, _camera(options, picture))
                counts.append(len(hands))
                numbers |= {who for who, _ in hands}
        if not counts:
            raise UserError(f"cannot be read as a {'clip' if isinstance(path, Path) else 'camera or stream'}")
        own.close()
        with written_whole(film) as target:
            shutil.copyfile(own.path, target)
    for old in stem.parent.glob(f"{glob.escape(stem.name)}_hand_[0-9]*.glb"):  # left by an earlier run
        old.unlink()
    for who, move in moves.items():
        _write(_with(stem, f"_hand_{who}.glb"), glb_bytes([move.skinned(smooth)]))
    shown, more = sum(count > 0 for count in counts), f" and {len(moves)} .glb" if moves else ""
    followed = f"{len(counts)} frames, {shown} with hands, {len(numbers)} hand(s) followed"
    return f"{shown_name(path)}: {followed} -> {film} .jsonl{more}"


def _camera(options, picture):
    """K of the options, or that of an ordinary camera."""
    K = options.get("K")
    return usual_camera(picture) if K is None else np.asarray(K, float)


def _without(compact):
    return MESH if compact else ()


def _film_folder(out):
    """Folder for an unfinished film: beside the results (the next start clears leftovers) if OpenCV can write there."""
    plain = readable_name(out) == str(out)
    return scratch_folder(out) if plain else tempfile.TemporaryDirectory(prefix="hiu-")


class _Film:
    """A film in a folder with a plain name: OpenCV aborts the process for file names that are not UTF-8."""

    def __init__(self, path: Path):
        self.path, self._writer, self._size = path, None, None

    def write(self, drawn: np.ndarray, rate: float) -> None:
        """Adds a frame, RGB; all frames get the size of the first."""
        if self._writer is None:
            self._size = drawn.shape
            self._writer = cv2.VideoWriter(str(self.path), cv2.VideoWriter_fourcc(*"mp4v"), rate, drawn.shape[1::-1])
        if drawn.shape != self._size:  # a frame without masks has one panel less
            drawn = np.pad(drawn, [(0, 0), (0, max(self._size[1] - drawn.shape[1], 0)), (0, 0)])[:, : self._size[1]]
        self._writer.write(np.ascontiguousarray(drawn[..., ::-1]))

    def close(self) -> None:
        """Finishes the file."""
        if self._writer is not None:
            self._writer.release()


def is_result(path: Path) -> bool:
    """Whether a file is an overlay written by us. Overlays are never read as inputs."""
    if path.suffix.lower() == ".png":
        return is_ours(path)
    try:
        with open(path.with_suffix(".jsonl"), "rb") as file:
            return path.suffix == ".mp4" and file.read(len(_CLIP)) == _CLIP
    except OSError:
        return False


@contextmanager
def plain_name(path: Path) -> Iterator[Path]:
    """Yields the path itself, or, if its name is not UTF-8, a link to it with a plain name."""
    if readable_name(path) == str(path):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="hiu-") as folder:
        link = Path(folder) / f"clip{path.suffix if path.suffix.isascii() else ''}"
        link.symlink_to(path.resolve())
        yield link


def shown_name(path: Path | str) -> str:
    """A clip's name to print; a stream's address is shown without user and password."""
    if isinstance(path, Path):
        return readable_name(path)
    scheme, mark, rest = path.partition("://")
    host, slash, place = rest.partition("/")
    return f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{place}" if mark else f"camera {path}"


def _reader(source):
    """Opens a clip, camera or stream."""
    is_camera = isinstance(source, str) and source.isdecimal()
    return cv2.VideoCapture(int(source) if is_camera else str(source))


def _pictures(reader, path, seconds):
    """Yields the frames of an open clip as RGB, with a progress bar. Ctrl-C ends a stream normally."""
    from tqdm import tqdm

    if isinstance(path, Path):
        wanted, name, interrupts = range(int(reader.get(cv2.CAP_PROP_FRAME_COUNT))), path.name, ()
    else:
        wanted, name, interrupts = itertools.count(), shown_name(path), KeyboardInterrupt
    start = time.monotonic()
    with suppress(interrupts):
        for _ in tqdm(wanted, desc=name, unit="frame"):
            good, frame = reader.read()
            if not good or (seconds is not None and time.monotonic() - start > seconds):
                return
            yield np.ascontiguousarray(frame[..., ::-1])


def _with(stem, suffix):
    """Appends a suffix to the stem; dots in the stem are kept."""
    return stem.with_name(stem.name + suffix)


def _overlay(picture, hands, faces):
    """Draws the overlay, scaled to a convenient size."""
    scale = min(1.0, _LONGEST_OVERLAY / max(picture.shape[:2]))
    if scale < 1:
        size = [max(1, round(scale * length)) for length in picture.shape[1::-1]]
        shrink = lambda image: cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        move = lambda points: (points + 0.5) * scale - 0.5
        picture = shrink(picture)
        hands = [
            replace(
                hand,
                mask=None if hand.mask is None else shrink(hand.mask),
                joints_2d=move(hand.joints_2d),
                vertices_2d=move(hand.vertices_2d),
            )
            for hand in hands
        ]
    return draw_hands(picture, hands, faces)


def _write(path, content):
    with written_whole(path) as scratch:
        scratch.write_bytes(content)
