"""Picture files -> arrays, and back. Nothing about a file is taken on trust: it may be huge, cut off, or no picture."""

from __future__ import annotations

import io
import os
import threading
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, ImageOps
from PIL.PngImagePlugin import PngInfo

from hiu_tf.errors import UserError

#: What is read, whatever a file's name ends in.
FORMATS = ("JPEG", "PNG", "BMP", "WEBP")
#: Larger pictures are refused before they are decoded: pixels, and the longer side that OpenCV can warp.
MOST_PIXELS, LONGEST_SIDE = 120_000_000, 32_000
#: Text in the PNG files that we write, so that they are never read as photographs.
_MARK = ("Software", "hiu-tf")
_switch = threading.Lock()

Image.MAX_IMAGE_PIXELS = None  # `decode_picture` checks the size itself, with a limit that callers choose


def read_picture(path: str | Path, most_pixels: int = MOST_PIXELS, allow_truncated: bool = False) -> np.ndarray:
    """A picture file as [H, W, 3] uint8 RGB, upright (EXIF). Arguments and errors are those of `decode_picture`."""
    # Read by Python: OpenCV ends the process at names that are not UTF-8.
    return decode_picture(Path(path).read_bytes(), most_pixels, allow_truncated)


def decode_picture(content: bytes, most_pixels: int = MOST_PIXELS, allow_truncated: bool = False) -> np.ndarray:
    """An encoded picture as [H, W, 3] uint8 RGB, upright (EXIF).

    Args:
      content: JPEG, PNG, BMP or WebP.
      most_pixels: more are refused, before they take memory.
      allow_truncated: whether to take what is left of a file whose end is missing.

    Raises:
      UserError: it is no picture, too large, damaged or cut off.
    """
    try:
        picture = Image.open(io.BytesIO(content), formats=FORMATS)
    except Exception as error:  # Pillow's readers raise what their parsers meet
        raise UserError("cannot be read as a picture (JPEG, PNG, BMP or WebP)") from error
    width, height = picture.size
    if width * height > most_pixels or max(width, height) > LONGEST_SIDE:
        raise UserError(
            f"has {width}x{height} pixels; allowed are {most_pixels / 1e6:g} million and {LONGEST_SIDE} a side: "
            "make it smaller, or raise the limit (--max-megapixels)"
        )
    if is_cut_off(content) and not allow_truncated:
        raise UserError("is cut off: the end of the file is missing (--allow-truncated takes what is left)")
    try:
        with _incomplete(allow_truncated):
            return np.array(_as_rgb(ImageOps.exif_transpose(picture)))
    except Exception as error:
        more = "nothing of it can be read" if allow_truncated else "--allow-truncated takes what is left"
        raise UserError(f"is damaged: {error} ({more})") from error


def is_cut_off(content: bytes) -> bool:
    """Whether the end of a JPEG or PNG file is missing."""
    if content.startswith(b"\xff\xd8"):
        # The end marker after the last scan; a preview in the header has an end of its own.
        return content.rfind(b"\xff\xd9") < content.rfind(b"\xff\xda")
    return content.startswith(b"\x89PNG") and b"IEND" not in content


def encode_png(picture: np.ndarray) -> bytes:
    """[H, W, 3] uint8 RGB as PNG, marked as ours."""
    mark, content = PngInfo(), io.BytesIO()
    mark.add_text(*_MARK)
    Image.fromarray(picture).save(content, "PNG", pnginfo=mark, compress_level=3)
    return content.getvalue()


def is_ours(path: Path) -> bool:
    """Whether a file is a PNG that `encode_png` has made."""
    try:
        with Image.open(path, formats=("PNG",)) as picture:
            return picture.info.get(_MARK[0]) == _MARK[1]
    except Exception:  # what it is will be seen when it is read
        return False


def readable_name(path: str | Path) -> str:
    """A path as text that any terminal and any JSON can show: bytes that are not UTF-8 are escaped."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _as_rgb(picture):
    if picture.mode.startswith("I;16") or picture.mode == "I":  # 16 bits: Pillow would clip them
        return Image.fromarray((np.asarray(picture, np.uint32) >> 8).clip(0, 255).astype(np.uint8)).convert("RGB")
    return picture.convert("RGB")


@contextmanager
def _incomplete(allowed):
    """Lets Pillow fill what is missing of a picture with grey; a switch of its own for all threads."""
    with _switch:
        ImageFile.LOAD_TRUNCATED_IMAGES = allowed
        try:
            yield
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = False
