"""Encoded pictures to crops in a graph: decode, turn upright, cut out around the hand; and crop to picture.

Implements the window of geometry/window.py in basic TensorFlow operations, so that servers need no Python.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from hiu_tf.geometry.tensor.window import around_boxes

#: EXIF's orientation field: tag 0x0112, type 3 (short), count 1, in little and big endian.
_EXIF_LITTLE = (0x12, 0x01, 0x03, 0x00, 0x01, 0x00, 0x00, 0x00)
_EXIF_BIG = (0x01, 0x12, 0x00, 0x03, 0x00, 0x00, 0x00, 0x01)
_EXIF_MARKS = (b"Exif\0\0", b"eXIf")  # in JPEG and PNG
_EXIF_BYTES = 4096  # the tag is in the first bytes of the file
_SHRINK_AT, _MOST_SHRINK = 1.5, 16.0
_BLANK = 2  # side of the black picture that replaces one that cannot be decoded


class Windows(NamedTuple):
    """Positions of the crops of a batch in their pictures.

    Attributes:
      centre: [B, 2] pixels (x, y).
      side: [B] pixels.
      is_left: [B] bool, whether the crop is mirrored.
      sizes: [B, 2] int32, height and width of the upright pictures; 0 for pictures that could not be decoded.
      valid: [B] bool, whether the picture could be decoded.
    """

    centre: tf.Tensor
    side: tf.Tensor
    is_left: tf.Tensor
    sizes: tf.Tensor
    valid: tf.Tensor

    def to_picture(self, points, size: int):
        """Crop pixels [B, N, 2] -> picture pixels."""
        scale = (self.side / size)[:, tf.newaxis, tf.newaxis]
        direction = tf.where(self.is_left, -1.0, 1.0)[:, tf.newaxis]
        signs = tf.stack([direction, tf.ones_like(direction)], axis=-1)
        return (points - 0.5 * (size - 1)) * scale * signs + self.centre[:, tf.newaxis]


def in_range(image: tf.Tensor) -> tf.Tensor:
    """Clips colours to [0, 1] and replaces NaN by 0, so that outputs are never NaN.

    Only NaN differs from itself. tf2onnx knows this form; it turns other choices into products, and 0 times NaN is NaN.
    The 0 is a scalar: one of the image's shape would be stored in a .tflite file.
    """
    return tf.clip_by_value(tf.where(tf.not_equal(image, image), 0.0, image), 0.0, 1.0)


def decode(encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """One JPEG, PNG, GIF or BMP -> (upright RGB [H, W, 3] uint8, whether it could be decoded).

    A picture that cannot be decoded becomes a small black one. A tf.data set of one element catches the error, so
    that the other pictures of the batch do not fail.
    """

    def picture(text):
        pixels = tf.io.decode_image(text, channels=3, expand_animations=False)
        return _upright(tf.ensure_shape(pixels, [None, None, 3]), _orientation(text)), True

    blank = tf.data.Dataset.from_tensors((tf.zeros([_BLANK, _BLANK, 3], tf.uint8), False))
    decoded = tf.data.Dataset.from_tensors(encoded).map(tf.autograph.experimental.do_not_convert(picture))
    return decoded.ignore_errors().concatenate(blank).take(1).get_single_element()


def cut_encoded(encoded: tf.Tensor, box, is_left, size: int) -> tuple[tf.Tensor, Windows]:
    """Encoded pictures [B] -> crops [B, S, S, 3] in [0, 1] and their windows.

    Args:
      box: [B, 4] x, y, width, height of the hand in pixels; width or height 0: the whole picture is the window.
      is_left: [B] bool, whether to mirror the crop.
    """

    def one(inputs):
        text, where, mirrored = inputs
        picture, valid = decode(text)
        crop, centre, side = _cut(picture, where, mirrored, size)
        shape = tf.where(valid, tf.shape(picture)[:2], 0)
        return crop, centre, side, shape, valid

    kinds = [([size, size, 3], tf.float32), ([2], tf.float32), ([], tf.float32), ([2], tf.int32), ([], tf.bool)]
    signature = tuple(tf.TensorSpec(shape, dtype) for shape, dtype in kinds)
    crops, centre, side, sizes, valid = tf.map_fn(one, (encoded, box, is_left), fn_output_signature=signature)
    return crops, Windows(centre, side, is_left, sizes, valid)


def cut_images(images: tf.Tensor, size: int) -> tuple[tf.Tensor, Windows]:
    """Pictures [B, H, W, 3] uint8, each showing one right hand -> crops of the whole pictures and their windows."""
    batch, shape = tf.shape(images)[0], tf.shape(images)[1:3]
    one = lambda picture: _cut(picture, tf.zeros([4]), False, size)
    signature = tuple(tf.TensorSpec(s, tf.float32) for s in ([size, size, 3], [2], []))
    crops, centre, side = tf.map_fn(one, images, fn_output_signature=signature)
    yes = tf.ones([batch], tf.bool)
    return crops, Windows(centre, side, ~yes, tf.tile(shape[tf.newaxis], [batch, 1]), yes)


def masks_as_png(masks: tf.Tensor, windows: Windows, size: int) -> tf.Tensor:
    """Masks of crops [B, S, S] in [0, 1] -> PNG files [B] in the sizes of the pictures, with values 0 and 255."""

    def one(inputs):
        mask, centre, side, mirrored, shape = inputs
        shape = tf.maximum(shape, 1)
        last = tf.cast(shape - 1, tf.float32)[::-1]  # (x, y) of the last pixel
        to_crop = lambda point: (point - centre) * size / side + 0.5 * (size - 1)
        first, last = to_crop(tf.zeros([2])), to_crop(last)
        flip = lambda x: tf.where(mirrored, size - 1 - x, x)
        ends = tf.stack([first[1], flip(first[0]), last[1], flip(last[0])]) / (size - 1.0)
        whole = tf.image.crop_and_resize(mask[tf.newaxis, ..., tf.newaxis], ends[tf.newaxis], [0], shape)[0]
        return tf.io.encode_png(tf.cast(whole > 0.5, tf.uint8) * 255)

    inputs = (masks, windows.centre, windows.side, windows.is_left, windows.sizes)
    return tf.map_fn(one, inputs, fn_output_signature=tf.TensorSpec([], tf.string))


def _cut(picture, box, mirrored, size):
    """Cuts a window out of one picture. Returns crop, centre, side."""
    whole = tf.cast(tf.shape(picture)[1::-1], tf.float32)  # (width, height)
    given = tf.reduce_all(box[2:] > 0) & tf.reduce_all(tf.math.is_finite(box))
    of_box, of_side = around_boxes(box)
    centre = tf.where(given, of_box, 0.5 * (whole - 1))
    side = tf.where(given, of_side, tf.reduce_max(whole))
    reach = 0.5 * side * (size - 1) / size
    # Averaging first keeps large pictures from aliasing.
    shrink = tf.cast(tf.clip_by_value(side / size / _SHRINK_AT, 1.0, _MOST_SHRINK), tf.int32)
    part, origin = _around(picture, centre, reach, shrink)
    small = tf.maximum(tf.shape(part)[:2] // shrink, 1)
    pixels = tf.image.resize(part[tf.newaxis], small, method="area")
    ratio = tf.cast(tf.shape(part)[1::-1], tf.float32) / tf.cast(small[::-1], tf.float32)
    pixels = tf.pad(pixels, [[0, 0], [1, 1], [1, 1], [0, 0]])  # the border then fades to black, as in OpenCV
    first, last = ((centre - origin + sign * reach + 0.5) / ratio + 0.5 for sign in (-1.0, 1.0))
    extent = tf.cast(small[::-1], tf.float32) + 1
    first, last = first / extent, last / extent
    left, right = tf.where(mirrored, last[0], first[0]), tf.where(mirrored, first[0], last[0])
    ends = tf.stack([first[1], left, last[1], right])[tf.newaxis]
    crop = tf.image.crop_and_resize(pixels, ends, [0], [size, size])[0]
    return tf.ensure_shape(crop, [size, size, 3]) / 255.0, centre, side


def _around(picture, centre, reach, shrink):
    """The part of the picture that a window needs, with a margin for averaging, and its first pixel (x, y)."""
    shape = tf.shape(picture)[1::-1]
    block = tf.cast(shrink, tf.float32)
    low, high = ((centre + sign * (reach + 2 * block)) / block for sign in (-1.0, 1.0))
    # A window beside the picture keeps one block of it.
    low = tf.clip_by_value(tf.cast(tf.floor(low), tf.int32) * shrink, 0, tf.maximum(shape - shrink, 0))
    high = tf.clip_by_value(tf.cast(tf.math.ceil(high), tf.int32) * shrink, tf.minimum(low + shrink, shape), shape)
    return picture[low[1] : high[1], low[0] : high[0]], tf.cast(low, tf.float32)


def _orientation(text):
    """EXIF orientation 1..8 of an encoded picture; 1 if there is none."""
    values = tf.cast(tf.io.decode_raw(tf.strings.substr(text, 0, _EXIF_BYTES), tf.uint8), tf.int32)
    values = tf.pad(values, [[0, 2 * len(_EXIF_BIG)]])  # so that a tag at the very end has a value
    found = tf.ones([], tf.int32)
    for tag, place in ((_EXIF_LITTLE, 8), (_EXIF_BIG, 9)):
        here = _places(values, tag)[: -len(tag)]
        given = values[place : place + tf.size(here)]
        here &= (given >= 1) & (given <= 8)
        # The first is the picture's: its thumbnail's comes after it.
        found = tf.where(tf.reduce_any(here), given[tf.argmax(tf.cast(here, tf.int32))], found)
    is_exif = tf.reduce_any(tf.concat([_places(values, mark) for mark in _EXIF_MARKS], axis=0))
    return tf.where(is_exif, found, 1)


def _places(values, pattern):
    """Whether the pattern starts at each position of a vector of bytes, [N - len + 1] bool."""
    count = tf.size(values) - len(pattern) + 1
    return tf.reduce_all([values[k : k + count] == byte for k, byte in enumerate(pattern)], axis=0)


def _upright(picture, orientation):
    """Turns and flips the picture upright by its EXIF orientation."""
    picture = tf.cond(orientation >= 5, lambda: tf.transpose(picture, [1, 0, 2]), lambda: picture)
    across = tf.reduce_any(orientation == [2, 3, 6, 7])
    down = tf.reduce_any(orientation == [3, 4, 7, 8])
    picture = tf.cond(across, lambda: picture[:, ::-1], lambda: picture)
    return tf.cond(down, lambda: picture[::-1], lambda: picture)
