"""Crops against a warp written out in float64, for every way in which a picture is decoded."""

import cv2
import numpy as np
import pytest
import tensorflow as tf

from pipelines import warp
from pipelines.warp import cut, warp_operation

SIZE = 48


@pytest.fixture(autouse=True, params=["compiled", "resampler"])
def sampler(request, monkeypatch):
    """Every test runs with the operation in C++ and with its twin."""
    if request.param == "resampler":
        monkeypatch.setattr(warp, "warp_operation", lambda: None)
    elif warp_operation() is None:
        pytest.skip("no C++ compiler")


def similarity(scale, angle, middle, mirrored=False):
    """Affine [3, 3] from picture to crop: `middle` (x, y) of the picture is in the middle of the crop."""
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turn = turn @ np.diag([-1.0 if mirrored else 1.0, 1.0])
    shift = np.full(2, (SIZE - 1) / 2) - turn @ middle
    return np.vstack([np.column_stack([turn, shift]), [0, 0, 1]])


def warped(picture, affine, size=SIZE):
    """Bilinear warp of picture [H, W, C], black outside, one pixel after the other."""
    black = np.pad(picture.astype(np.float64), [(1, 1), (1, 1), (0, 0)])
    found = np.zeros([size, size, picture.shape[-1]])
    for y, x in np.ndindex(size, size):
        across, down = (np.linalg.inv(affine) @ [x, y, 1])[:2] + 1
        if not (0 <= across < black.shape[1] - 1 and 0 <= down < black.shape[0] - 1):
            continue
        left, top, right, low = int(across), int(down), across % 1, down % 1
        corners = black[top : top + 2, left : left + 2]
        found[y, x] = np.tensordot(np.outer([1 - low, low], [1 - right, right]), corners, axes=2)
    return found


def cropped(picture, mask, affine, ending=".png", size=SIZE, frame=(0, 0, 9999, 9999)):
    """What `cut` makes of one picture and its mask (or None), and its mask: [S, S, 4]."""
    encoded = cv2.imencode(ending, picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes()
    on_hand = b"" if mask is None else cv2.imencode(".png", mask)[1].tobytes()
    sizes = tf.constant([picture.shape[:2]], tf.int64)
    frame, affine = tf.constant([frame], tf.float32), tf.constant(affine[None], tf.float32)
    found = cut(tf.constant([encoded]), tf.constant([on_hand]), sizes, affine, frame, size)
    return np.concatenate([part[0] for part in found], axis=-1)


@pytest.fixture(scope="module")
def scene():
    """A smooth coloured picture [150, 200, 3] with a mask of a disc [150, 200, 1]."""
    generator = np.random.default_rng(3)
    rough = generator.integers(0, 255, [10, 13, 3], np.uint8)
    y, x = np.mgrid[:150, :200]
    mask = 255 * (np.hypot(x - 90, y - 70) < 40)
    return cv2.resize(rough, (200, 150), interpolation=cv2.INTER_CUBIC), mask[..., None].astype(np.uint8)


@pytest.mark.parametrize(
    "scale, angle, middle", [(0.4, 0.0, (90, 70)), (1.7, 0.6, (120.5, 9.3)), (0.5, -2.2, (6, 140))]
)
@pytest.mark.parametrize("mirrored", [False, True])
def test_the_warp_is_bilinear(scene, scale, angle, middle, mirrored):
    picture, _ = scene
    affine = similarity(scale, angle, middle, mirrored)
    expected = warped(picture, affine)
    assert expected.any()
    assert np.abs(cropped(picture, None, affine)[..., :3] - expected).max() <= 0.6  # rounding, float32 coordinates


def test_a_crop_beside_the_picture_is_black(scene):
    for middle in ((500.0, 0.0), (0.0, -500.0)):
        assert not cropped(*scene, similarity(1, 0.3, middle)).any()


@pytest.mark.parametrize("scale", [0.8, 0.3, 0.2, 0.15, 0.1])
@pytest.mark.parametrize("ending", [".png", ".jpg"])
def test_picture_and_mask_are_averaged_and_warped_together(scene, scale, ending):
    """Down to a tenth, by a JPEG's own reduction too, against the average of a large area and the float64 warp."""
    picture, mask = scene
    affine = similarity(scale, 0.3, (100.0, 75.0))
    steps = max(1, int(1 / scale / 1.5))
    small = [max(1, side // steps) for side in mask.shape[:2]]
    ratio = np.divide(mask.shape[:2], small)
    grown = np.array([[ratio[1], 0, ratio[1] / 2 - 0.5], [0, ratio[0], ratio[0] / 2 - 0.5], [0, 0, 1]])
    averaged = cv2.resize(np.concatenate([picture, mask], -1), small[::-1], interpolation=cv2.INTER_AREA)
    expected = warped(averaged, affine @ grown)
    found = cropped(picture, mask, affine, ending).astype(float)
    inside = warped(np.full_like(mask, 255), affine)[..., 0] == 255
    assert inside.sum() > 80
    error = np.abs(found - expected)[inside]
    assert error[:, :3].mean() < (1.0 if ending == ".png" else 3.0)
    assert np.percentile(error, 99) < (2.0 if ending == ".png" else 40.0)
    assert np.abs(found - expected)[..., 3].mean() < 2.0


@pytest.mark.parametrize("ending", [".png", ".jpg"])
@pytest.mark.parametrize("side", [144, 149, 151])
def test_a_mask_lies_on_its_picture(side, ending):
    """A JPEG that is decoded smaller counts as larger than it is where its side is no multiple of 2, 4 or 8."""
    mask = np.zeros([side, side, 1], np.uint8)
    mask[30:-20, -40:-12] = 255
    found = cropped(np.repeat(mask, 3, axis=2), mask, similarity(0.16, 0.0, np.full(2, side / 2)), ending)
    for place in (np.arange(SIZE).reshape(1, SIZE, 1), np.arange(SIZE).reshape(SIZE, 1, 1)):
        middle = (found * place).sum(axis=(0, 1)) / found.sum(axis=(0, 1), dtype=float)
        np.testing.assert_allclose(middle[3], middle[:3], atol=0.1)


def test_without_a_mask_it_is_empty(scene):
    found = cropped(scene[0], None, similarity(0.3, 0, (100, 75)))
    assert found[..., :3].any() and not found[..., 3].any()


def test_a_fine_checkerboard_becomes_grey():
    """Averaged, not sampled."""
    board = np.indices((256, 256)).sum(axis=0) % 2 * 255
    small = cropped(np.repeat(board[..., None], 3, axis=2).astype(np.uint8), None, np.diag([0.25, 0.25, 1]), size=64)
    assert np.abs(small[8:-8, 8:-8, :3].astype(int) - 127).max() < 12


@pytest.mark.parametrize("scale, angle", [(1.0, 0.5), (0.2, -2.0)])
def test_nothing_is_seen_outside_of_the_frame(scene, scale, angle):
    """As if the rest of the picture had been black before; where the picture is averaged first, to a pixel of the average."""
    picture, mask = scene
    left, top, right, low = 40, 20, 149, 119
    inside = np.zeros([150, 200, 1], np.uint8)
    inside[top : low + 1, left : right + 1] = 1
    affine = similarity(scale, angle, (60, 40))
    found = cropped(picture, mask, affine, frame=(left, top, right, low))
    expected = cropped(picture * inside, mask * inside, affine)
    assert (np.abs(found.astype(int) - expected) > 1).mean() < (0.03 if scale < 0.5 else 1e-9)
    assert (np.abs(found.astype(int) - cropped(picture, mask, affine)) > 1).mean() > 0.1


@pytest.mark.parametrize("pixels, inverse", [((9, 9, 2), (3, 2)), ((9, 9), (3, 2)), ((9, 9, 3), (2, 2))])
def test_the_operation_refuses_other_shapes(sampler, pixels, inverse):
    operation = warp_operation()
    if operation is None:
        pytest.skip("no C++ compiler")
    with pytest.raises((tf.errors.InvalidArgumentError, ValueError)):
        operation(tf.zeros(pixels, tf.uint8), tf.zeros(inverse), [0, 0, 8, 8], size=4)


@pytest.mark.parametrize("broken", [np.nan, np.inf, 1e30])
def test_a_broken_affine_gives_black(sampler, broken):
    operation = warp_operation()
    if operation is None:
        pytest.skip("no C++ compiler")
    picture = tf.fill([9, 9, 3], tf.constant(255, tf.uint8))
    assert not operation(picture, tf.fill([3, 2], broken), [0, 0, 8, 8], size=4).numpy().any()
