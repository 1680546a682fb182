"""Averaged blocks against float64 NumPy; the crop of a large photograph against one that averages the whole picture."""

import cv2
import numpy as np
import pytest

from hiu_tf.geometry.shrink import halved, shrunk, smaller
from hiu_tf.geometry.window import Window
from hiu_tf.runtime.crop import cut, shrink_factor


def means(picture, factor):
    height, width = (side // factor for side in picture.shape[:2])
    blocks = picture[: factor * height, : factor * width].reshape(height, factor, width, factor, -1).astype(np.float64)
    return blocks.mean(axis=(1, 3))


@pytest.mark.parametrize("factor", [1, 2, 3, 4, 6, 8, 12, 16])
def test_blocks_are_averaged(rng, factor):
    picture = rng.integers(0, 256, (5 * factor, 7 * factor, 3)).astype(np.uint8)
    found = shrunk(picture, factor)
    assert found.shape == (5, 7, 3)
    np.testing.assert_allclose(found, means(picture, factor), atol=1.6)  # each halving rounds


def test_halving_leaves_out_odd_ends_and_stops_at_one_pixel(rng):
    picture = rng.integers(0, 256, (9, 21, 3)).astype(np.uint8)
    assert halved(picture, 2).shape == (2, 5, 3)
    assert halved(picture, 9).shape == (1, 2, 3)
    np.testing.assert_array_equal(halved(picture, 0), picture)


@pytest.mark.parametrize(
    ("size", "to"), [((1200, 1600), (224, 168)), ((4000, 3000), (168, 224)), ((2001, 3503), (224, 128))]
)
def test_smaller_pictures_look_the_same(rng, size, to):
    picture = cv2.GaussianBlur(rng.integers(0, 256, (*size, 3)).astype(np.uint8), (0, 0), 5)
    picture[size[0] // 3 :, size[1] // 4 : size[1] // 2] = (200, 40, 90)
    apart = np.abs(smaller(picture, *to).astype(int) - cv2.resize(picture, to, interpolation=cv2.INTER_AREA))
    assert apart.mean() < 0.6 and np.percentile(apart, 99) <= 4


@pytest.mark.parametrize("side", [400.0, 800.0, 1500.0, 4000.0])
@pytest.mark.parametrize(("mirrored", "angle"), [(False, 0.0), (True, 0.7)])
def test_only_the_part_under_the_window_is_averaged(rng, side, mirrored, angle):
    """The crop equals the warped means of all blocks of the picture."""
    picture = cv2.GaussianBlur(rng.integers(0, 256, (1210, 1603, 3)).astype(np.uint8), (0, 0), 4)
    window = Window((1100.0, 400.0), side, 128, mirrored, angle)
    factor = shrink_factor(window)
    assert factor > 1
    blocks = means(picture, factor).astype(np.float32)
    place = window.affine @ np.array([[factor, 0, (factor - 1) / 2], [0, factor, (factor - 1) / 2], [0, 0, 1]])
    expected = cv2.warpAffine(blocks, place, (128, 128), flags=cv2.INTER_LINEAR)
    np.testing.assert_allclose(255 * cut(picture, window), expected, atol=2.6)


def test_a_window_beside_the_picture_is_black(rng):
    picture = rng.integers(0, 256, (400, 500, 3)).astype(np.uint8)
    assert not cut(picture, Window((9000.0, 100.0), 900.0, 128)).any()
