"""From files to a sample: reads a picture and its mask, and keeps the region that crops of the hand may need.

Small JPEG and PNG files are stored unchanged. Others are cut to a region around the hand, turned upright
(EXIF), resampled to square pixels, and scaled down; K, 2D joints and box are transformed with them.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from hiu_tf.pictures import is_cut_off
from pipelines.schema import DataSetError, Sample

#: Longest side of a stored picture.
MAX_SIDE = 512
#: Side of the region kept from a large picture, relative to the hand's box.
REGION = 3.0
#: If the focal lengths differ by more than this share, pixels are not square.
_SQUARE = 2e-3
#: Masks of another size are scaled to the picture's; if the aspect ratio differs by more than this, they are refused.
_SAME_SHAPE = 0.02
#: Minimum side of a stored region in pixels.
_MIN_REGION = 96
_FLAGS = {"colour": cv2.IMREAD_COLOR, "grey": cv2.IMREAD_GRAYSCALE, "unchanged": cv2.IMREAD_UNCHANGED}


def read_picture(path: Path, kind: str = "colour") -> np.ndarray:
    """Reads a picture file as BGR ("colour"), [H, W] ("grey") or "unchanged"; upright.

    Raises:
      DataSetError: the file is missing or is not a picture.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataSetError(
            f"{path} {f'cannot be read: {error.strerror}' if path.exists() else 'is missing'}"
        ) from error
    if is_cut_off(content):
        raise DataSetError(f"{path} is cut off: the end of the file is missing")
    try:
        picture = cv2.imdecode(np.frombuffer(content, np.uint8), _FLAGS[kind]) if content else None
    except cv2.error as error:  # more pixels than OpenCV allows
        raise DataSetError(f"{path} cannot be decoded: {error.err}") from error
    if picture is None:
        raise DataSetError(f"{path} is no readable picture")
    return picture


def store(path: Path, mask: np.ndarray | None = None, size: tuple[int, int] | None = None, **labels) -> Sample:
    """Makes a sample from a picture file and labels in pixels of the upright picture.

    Args:
      path: the picture.
      mask: [H, W], upright, above 127 on the hand; scaled to the picture if its size differs.
      size: (width, height) of the upright picture that was labelled; None if not known.
      labels: the other fields of `Sample`, except image, width, height and mask.

    Raises:
      DataSetError: the picture is missing or broken, or is not of this size.
    """
    picture = read_picture(path)
    height, width = picture.shape[:2]
    if size not in (None, (width, height)):
        raise DataSetError(
            f"{path} is {width}x{height}, its labels are of a picture of {size[0]}x{size[1]} pixels: it was scaled since, or "
            "labelled without its EXIF rotation"
        )
    if mask is not None and abs(mask.shape[0] * width - mask.shape[1] * height) > _SAME_SHAPE * height * width:
        raise DataSetError(f"{path}: the mask is {mask.shape[1]}x{mask.shape[0]}, the picture {width}x{height}")
    if mask is not None and mask.shape != (height, width):
        mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA)
    raw = path.read_bytes()
    sample = Sample(
        image=raw, width=width, height=height, mask=b"" if mask is None else encode_mask(mask > 127), **labels
    )
    sample.validate()  # check before computing with its numbers
    stretch = _pixel_stretch(sample.intrinsics)
    if max(height, width) <= MAX_SIDE and stretch == 1 and _is_plain(raw):
        _refuse_what_tensorflow_cannot_read(path, raw)
        return sample
    left, top, right, bottom = _region(sample)
    scale = min(1.0, MAX_SIDE / max(right - left, (bottom - top) * stretch))
    size = (max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale * stretch)))
    scales = np.array(size) / (right - left, bottom - top)
    offset = 0.5 * scales - 0.5 - scales * (left, top)  # pixel centres stay pixel centres
    return _moved(sample, picture[top:bottom, left:right], mask, (left, top, right, bottom), size, scales, offset)


def _moved(sample, part, mask, region, size, scales, offset):
    left, top, right, bottom = region
    affine = np.array([[scales[0], 0, offset[0]], [0, scales[1], offset[1]], [0, 0, 1]], np.float32)
    known = sample.intrinsics[0, 0] > 0
    has_box = sample.box[2:].all()
    small = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
    small_mask = None if mask is None else cv2.resize(mask[top:bottom, left:right], size, interpolation=cv2.INTER_AREA)
    return Sample(
        **{name: getattr(sample, name) for name in _UNMOVED},
        image=cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes(),
        width=size[0],
        height=size[1],
        joints_2d=sample.joints_2d * scales + offset,
        intrinsics=affine @ sample.intrinsics if known else sample.intrinsics,
        box=np.concatenate([sample.box[:2] * scales + offset, sample.box[2:] * scales]) if has_box else sample.box,
        mask=b"" if small_mask is None else encode_mask(small_mask > 127),
    )


_UNMOVED = (
    "dataset", "sample_id", "group", "side", "visible", "joints_2d_weight", "joints_3d", "joints_3d_weight", "vertices",
    "shape", "pose", "rotation", "no_hand",
)  # fmt: skip


def _region(sample):
    """Left, top, right, bottom of the region to keep: REGION times the hand's box, inside the picture."""
    points = sample.joints_2d[sample.joints_2d_weight > 0]
    if sample.box[2:].all():
        points = np.stack([sample.box[:2], sample.box[:2] + sample.box[2:]])
    if not len(points) or max(sample.width, sample.height) <= MAX_SIDE:
        return 0, 0, sample.width, sample.height
    middle, side = (
        (points.min(axis=0) + points.max(axis=0)) / 2,
        max(REGION * np.ptp(points, axis=0).max(), _MIN_REGION),
    )
    low = np.clip(np.floor(middle - side / 2), 0, [sample.width - 2, sample.height - 2]).astype(int)
    high = np.clip(np.ceil(middle + side / 2), low + 2, [sample.width, sample.height]).astype(int)
    return (*low, *high)


def _pixel_stretch(intrinsics):
    """Stretch factor of the picture's height for square pixels."""
    across, down = intrinsics[0, 0], intrinsics[1, 1]
    return 1.0 if across <= 0 or abs(across / down - 1) < _SQUARE else float(across / down)


def _is_plain(raw):
    """Whether the file is a JPEG or PNG without EXIF, which could rotate it."""
    return (raw[:2] == b"\xff\xd8" and b"Exif" not in raw[:65536]) or (raw[:4] == b"\x89PNG" and b"eXIf" not in raw)


def _refuse_what_tensorflow_cannot_read(path, raw):
    """Refuses damaged JPEG files that OpenCV accepts, but that would stop a training much later."""
    import tensorflow as tf  # takes seconds to load: what is wrong with a folder is said before

    try:
        tf.io.decode_image(raw, channels=3, expand_animations=False)
    except tf.errors.OpError as error:
        raise DataSetError(f"{path} is damaged: TensorFlow cannot decode it") from error


def encode_mask(on_hand: np.ndarray) -> bytes:
    """Encodes a mask [H, W] bool as PNG with one bit a pixel, which is decoded twice as fast as one with eight."""
    options = [cv2.IMWRITE_PNG_BILEVEL, 1, cv2.IMWRITE_PNG_COMPRESSION, 9]
    return cv2.imencode(".png", 255 * on_hand.astype(np.uint8), options)[1].tobytes()
