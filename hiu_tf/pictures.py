"""Picture files -> arrays, and back. Files are not trusted: they may be huge, truncated, or no pictures at all."""

from __future__ import annotations

import io
import os
import re
import threading
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageFile, ImageOps
from PIL.PngImagePlugin import PngInfo

from hiu_tf.errors import UserError

#: Formats that are read, whatever the file's suffix.
FORMATS = ("JPEG", "PNG", "BMP", "WEBP")
#: Suffixes of picture files.
PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
#: Limits above which pictures are refused before decoding: number of pixels, and the longest side that OpenCV can warp.
MOST_PIXELS, LONGEST_SIDE = 120_000_000, 32_000
#: Text chunk of PNG files and comment of JPEG files that mark our own, so that they are never read as photographs.
_MARK, _COMMENT = ("Software", "hiu-tf"), b"made by hiu-tf"
#: A marker of a JPEG (not a stuffed byte, a fill byte or a restart between scans), its end, and those without a length.
_JPEG_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
_END_OF_IMAGE, _WITHOUT_LENGTH = 0xD9, (0x01, 0xD8)
_switch = threading.Lock()


def read_picture(path: str | Path, most_pixels: int = MOST_PIXELS, allow_truncated: bool = False) -> np.ndarray:
    """A picture file as [H, W, 3] uint8 RGB, upright (EXIF). Arguments and errors are those of `decode_picture`."""
    try:  # Python reads the bytes: OpenCV aborts the process for file names that are not UTF-8
        content = Path(path).read_bytes()
    except ValueError as error:
        raise UserError(f"{str(path)!r} is no path: {error}") from error
    return decode_picture(content, most_pixels, allow_truncated)


def decode_picture(content: bytes, most_pixels: int = MOST_PIXELS, allow_truncated: bool = False) -> np.ndarray:
    """An encoded picture as [H, W, 3] uint8 RGB, upright (EXIF).

    Args:
      content: JPEG, PNG, BMP or WebP.
      most_pixels: larger pictures are refused before they are decoded.
      allow_truncated: whether to decode a truncated file as far as it goes.

    Raises:
      UserError: the content is no picture, too large, damaged or truncated.
    """
    try:
        with _pillow():
            picture = Image.open(io.BytesIO(content), formats=FORMATS)
    except Exception as error:  # Pillow's parsers raise many kinds of exceptions
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
        with _pillow(allow_truncated):
            return upright_rgb(picture)
    except Exception as error:
        more = "nothing of it can be read" if allow_truncated else "--allow-truncated takes what is left"
        raise UserError(f"is damaged: {error} ({more})") from error


def decode_rgb(content: bytes) -> np.ndarray | None:
    """A picture of our own records or files as [H, W, 3] uint8 RGB, without the checks of `decode_picture`; None: it is none."""
    picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    return None if picture is None else np.ascontiguousarray(picture[..., ::-1])


def decode_mask(content: bytes) -> np.ndarray | None:
    """A mask of our own records or files as [H, W] uint8; None: it is no picture."""
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE)


def upright_rgb(picture: Image.Image) -> np.ndarray:
    """A Pillow image as [H, W, 3] uint8 RGB, upright (EXIF)."""
    return np.array(_as_rgb(ImageOps.exif_transpose(picture)))


def upright_size(path: str | Path) -> tuple[int, int]:
    """Width and height of a picture file, upright (EXIF), from its header alone.

    Raises:
      UserError: the file is not a picture.
      OSError: it cannot be read.
    """
    try:
        with _pillow(), Image.open(path, formats=FORMATS) as picture:
            turned = 5 <= picture.getexif().get(ExifTags.Base.Orientation, 1) <= 8
            return picture.size[::-1] if turned else picture.size
    except Image.UnidentifiedImageError as error:
        raise UserError(f"{readable_name(path)} cannot be read as a picture") from error


def is_cut_off(content: bytes) -> bool:
    """Whether the end of a JPEG or PNG file is missing."""
    if content.startswith(b"\xff\xd8"):
        return not _jpeg_ends(content)
    return content.startswith(b"\x89PNG") and b"IEND" not in content


def _jpeg_ends(content):
    """Whether a JPEG reaches its end marker. A preview in a header has one too, and a phone may append a clip: neither counts."""
    at = 2
    while marker := _JPEG_MARKER.search(content, at):
        code, at = marker[1][0], marker.end()
        if code == _END_OF_IMAGE:
            return True
        if code not in _WITHOUT_LENGTH:
            at += int.from_bytes(content[at : at + 2], "big")
    return False


def encode_png(picture: np.ndarray) -> bytes:
    """Encodes [H, W, 3] uint8 RGB as PNG with our mark."""
    mark, content = PngInfo(), io.BytesIO()
    mark.add_text(*_MARK)
    Image.fromarray(picture).save(content, "PNG", pnginfo=mark, compress_level=3)
    return content.getvalue()


def encode_jpeg(picture: np.ndarray) -> bytes:
    """Encodes [H, W, 3] uint8 RGB as JPEG with our mark."""
    content = io.BytesIO()
    Image.fromarray(picture).save(content, "JPEG", quality=90, comment=_COMMENT)
    return content.getvalue()


def is_ours(path: Path) -> bool:
    """Whether a file was written by `encode_png` or `encode_jpeg`."""
    try:
        with _pillow(), Image.open(path, formats=("PNG", "JPEG")) as picture:
            return picture.info.get(_MARK[0]) == _MARK[1] or picture.info.get("comment") == _COMMENT
    except Exception:  # reading it later reports the error
        return False


def readable_name(path: str | Path) -> str:
    """A path as printable text: bytes that are not UTF-8 are escaped."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _as_rgb(picture):
    if picture.mode.startswith("I;16") or picture.mode == "I":  # 16 bits: Pillow would clip them
        return Image.fromarray((np.asarray(picture, np.uint32) >> 8).clip(0, 255).astype(np.uint8)).convert("RGB")
    if "A" in picture.mode or "transparency" in picture.info:  # what is beneath the transparent is anything
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, (0, 0, 0, 255)), picture)
    return picture.convert("RGB")


@contextmanager
def _pillow(truncated=False):
    """Pillow without its limit of pixels, for which `decode_picture` has its own; with `truncated` it fills what is missing with grey.

    Both are switches of the whole process: one thread at a time, and they are given back as they were.
    """
    with _switch:
        before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
        Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = None, truncated
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = before
