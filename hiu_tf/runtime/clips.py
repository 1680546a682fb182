"""Opens clips, cameras and streams, and reads their frames."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from hiu_tf.addresses import shown
from hiu_tf.errors import UserError
from hiu_tf.pictures import readable_name

#: Suffixes of the files that are read as clips.
CLIPS = (".mp4", ".avi", ".mov", ".mkv")
#: Frames per second of a clip or stream that does not say.
_USUAL_RATE = 25.0


class Clip(NamedTuple):
    """An open clip, camera or stream.

    Attributes:
      rate: frames per second.
      length: number of frames according to the file; None for a camera or stream.
      frames: yields [H, W, 3] uint8 RGB.
    """

    rate: float
    length: int | None
    frames: Iterator[np.ndarray]


def is_stream(source) -> bool:
    """Whether a source is the number of a camera or the address of a stream, not a file."""
    return isinstance(source, str) and ("://" in source or (source.isdecimal() and not Path(source).exists()))


@contextmanager
def opened(source: Path | str, seconds: float | None = None) -> Iterator[Clip]:
    """Opens a clip, a camera or a stream.

    Args:
      source: path of a clip; as a string the number of a camera or the address of a stream.
      seconds: duration to read; None: to the end.

    Raises:
      UserError: there is no frame, at the first one asked for.
    """
    live = is_stream(source)
    with nullcontext(source) if live else plain_name(Path(source)) as readable:
        reader = cv2.VideoCapture(int(readable) if live and readable.isdecimal() else str(readable))
        rate = reader.get(cv2.CAP_PROP_FPS)
        try:
            length = None if live else max(0, int(reader.get(cv2.CAP_PROP_FRAME_COUNT)))
            yield Clip(rate if 1 <= rate <= 1000 else _USUAL_RATE, length, _frames(reader, live, seconds))
        finally:
            reader.release()


def _frames(reader, live, seconds):
    start, empty = time.monotonic(), True
    while seconds is None or time.monotonic() - start <= seconds:
        good, frame = reader.read()
        if not good:
            break
        empty = False
        yield np.ascontiguousarray(frame[..., ::-1])
    if empty:
        raise UserError(f"cannot be read as a {'camera or stream' if live else 'clip'}")


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


def shown_name(source: Path | str) -> str:
    """A source's name to print; an address is shown without user and password."""
    if isinstance(source, Path):
        return readable_name(source)
    return shown(source) if "://" in source else f"camera {source}"
