"""What a predictor takes: a picture in any form, or many of them.

| source | is |
|---|---|
| path of a picture, http(s) address of one | one picture |
| [H, W, 3] uint8 RGB array, PIL image | one picture |
| folder | its pictures, in the order of their names |
| list, generator, [N, H, W, 3] array | its items |
| clip, number of a camera, address of a stream | frames |
"""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Set
from http.client import HTTPException
from io import IOBase
from pathlib import Path

import numpy as np
from PIL import Image

from hiu_tf.errors import UserError
from hiu_tf.pictures import PICTURES, decode_picture, is_ours, read_picture, readable_name, upright_rgb
from hiu_tf.runtime.clips import CLIPS, is_stream, shown_name

#: A download ends after so many bytes or seconds.
_MOST_BYTES, _MOST_SECONDS = 100_000_000, 60
_CHUNK = 1 << 16
_BYTES = (bytes, bytearray, memoryview)


def is_clip(source) -> bool:
    """Whether a source is a clip, the number of a camera or the address of a stream."""
    if is_picture_address(source):
        return False
    return is_stream(source) or (isinstance(source, (str, Path)) and Path(source).suffix.lower() in CLIPS)


def is_picture_address(source) -> bool:
    """Whether a source is an http(s) address whose path ends as a picture's does."""
    if not isinstance(source, str) or not source.lower().startswith(("http://", "https://")):
        return False
    return source.partition("?")[0].partition("#")[0].lower().endswith(PICTURES)


def is_one_picture(source) -> bool:
    """Whether a source is a single picture."""
    if isinstance(source, (str, Path)):
        return not is_clip(source) and not (str(source) and Path(source).is_dir())
    return isinstance(source, (Image.Image, *_BYTES)) or (isinstance(source, np.ndarray) and source.ndim < 4)


def open_picture(source, **limits) -> tuple[np.ndarray, str]:
    """A single picture in any form -> ([H, W, 3] uint8 RGB, its name; "" for an array).

    Args:
      source: as above.
      limits: most_pixels and allow_truncated of `decode_picture`, for files and addresses.

    Raises:
      UserError: it is no picture, or the download failed.
      OSError: the file cannot be read.
    """
    if isinstance(source, Image.Image):
        return upright_rgb(source), str(getattr(source, "filename", ""))
    if is_picture_address(source):
        return decode_picture(_downloaded(source), **limits), shown_name(source)
    if isinstance(source, _BYTES):
        return decode_picture(bytes(source), **limits), ""
    if isinstance(source, (str, Path)):
        return read_picture(source, **limits), readable_name(source)
    return np.asarray(source), ""


def pictures_of(source) -> Iterator:
    """The pictures of a folder, or the items of a list, generator or [N, H, W, 3] array.

    Raises:
      UserError: there is no picture in the folder, or the source is none of these.
    """
    if isinstance(source, (str, Path)):
        found = [path for path in files_below(Path(source), PICTURES) if not is_ours(path)]
        if not found:
            raise UserError(f"{source} contains no pictures ({', '.join(PICTURES)})")
        return iter(found)
    if not isinstance(source, Iterable) or isinstance(source, (Mapping, Set, IOBase)):
        raise UserError(f"takes a picture, a folder, a clip or an iterable of pictures, got {type(source).__name__}")
    return iter(source)


def files_below(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """All files below a folder with one of the suffixes, sorted."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in suffixes and path.is_file())


def _downloaded(address):
    """The content at an address. The limit in seconds is for the whole download, so that no server can hold it."""
    deadline, content = time.monotonic() + _MOST_SECONDS, bytearray()
    try:
        with urllib.request.urlopen(address, timeout=_MOST_SECONDS) as answer:
            while chunk := answer.read1(_CHUNK):
                content += chunk
                if len(content) > _MOST_BYTES or time.monotonic() > deadline:
                    limits = f"{_MOST_BYTES // 1_000_000} MB and {_MOST_SECONDS} s"
                    raise UserError(f"{address} takes longer or is larger than allowed ({limits})")
    except (OSError, ValueError, HTTPException) as error:
        raise UserError(f"{address} cannot be fetched: {error}") from error
    return bytes(content)
