"""Each colour augmentation against TensorFlow's or a closed form; labels and masks stay unchanged."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from hiu_tf.config.schema import AugmentConfig
from hiu_tf.conventions import keys
from hiu_tf.errors import ConfigError
from pipelines import recolour as ops

SEED = tf.constant([3, 5], tf.int64)
NOTHING = AugmentConfig(
    crop_scale=(1.5, 1.5), rotation_deg=0, translation=0, brightness=0, contrast=0, saturation=0, hue=0,
    gamma=(1, 1), grey_probability=0, blur_probability=0, noise=0, shuffle_probability=0, cutout_probability=0,
    background_probability=0,
)  # fmt: skip


@pytest.fixture
def image(rng):
    smooth = tf.image.resize(rng.uniform(0.2, 0.8, (4, 5, 5, 3)), [32, 32])
    return tf.cast(smooth, tf.float32)


@pytest.fixture
def batch(image):
    mask = np.zeros((4, 32, 32, 1), np.float32)
    mask[:, 8:24, 8:24] = 1
    return {keys.IMAGE: image, keys.MASK: tf.constant(mask), keys.MASK_WEIGHT: tf.constant([1.0, 1, 1, 0])}


def only(**strength):
    return dataclasses.replace(NOTHING, **strength)


def test_no_strength_changes_nothing(batch):
    np.testing.assert_allclose(ops.recolour(batch, NOTHING, SEED)[keys.IMAGE], batch[keys.IMAGE], atol=1e-5)


def test_equal_seeds_equal_pictures_in_range_and_pictures_differ(batch):
    first, second = (ops.recolour(batch, AugmentConfig(), SEED)[keys.IMAGE].numpy() for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert 0 <= first.min() <= first.max() <= 1
    other = ops.recolour(batch, AugmentConfig(), SEED + 1)[keys.IMAGE].numpy()
    assert np.abs(first - other).max() > 0.05


def test_eagerly_and_in_a_pipeline_the_same(batch):
    eager = ops.recolour(batch, AugmentConfig(), SEED)
    (piped,) = tf.data.Dataset.from_tensors(batch).map(lambda b: ops.recolour(b, AugmentConfig(), SEED))
    np.testing.assert_allclose(eager[keys.IMAGE], piped[keys.IMAGE], atol=1e-5)


def test_grey(image):
    found = ops.change_colours(image, only(grey_probability=1), SEED)
    expected = tf.image.grayscale_to_rgb(tf.image.rgb_to_grayscale(image))
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_contrast_keeps_the_mean_and_scales_the_rest(image):
    found = ops.change_colours(image, only(contrast=0.5), SEED)
    mean = tf.reduce_mean(image, axis=[1, 2], keepdims=True)
    np.testing.assert_allclose(tf.reduce_mean(found, axis=[1, 2], keepdims=True), mean, atol=1e-5)
    factor = np.std(found, axis=(1, 2, 3)) / np.std(image, axis=(1, 2, 3))
    for n in range(4):
        expected = tf.image.adjust_contrast(image[n], np.std(found[n] - mean[n]) / np.std(image[n] - mean[n]))
        np.testing.assert_allclose(found[n], expected, atol=1e-4)
    assert np.ptp(factor) > 0.01


def test_brightness_adds_one_number_to_each_picture(image):
    difference = (ops.change_colours(image, only(brightness=0.2), SEED) - image).numpy().reshape(4, -1)
    assert np.ptp(difference, axis=1).max() < 1e-5
    assert 0.01 < np.abs(difference).max() <= 0.2


def test_hue_turns_about_grey(image):
    """Grey stays grey, lightness (the mean of the channels) and the distance from grey stay."""
    found = ops.change_colours(image, only(hue=0.5), SEED)
    np.testing.assert_allclose(tf.reduce_mean(found, -1), tf.reduce_mean(image, -1), atol=1e-5)
    chroma = [np.linalg.norm(x - np.mean(x, axis=-1, keepdims=True), axis=-1) for x in (found.numpy(), image.numpy())]
    np.testing.assert_allclose(*chroma, atol=1e-5)
    assert np.abs(found - image).max() > 0.05


def test_shuffle_permutes_the_channels(image):
    found = ops.change_colours(image, only(shuffle_probability=1), SEED)
    np.testing.assert_allclose(np.sort(found, axis=-1), np.sort(image, axis=-1), atol=1e-5)
    assert np.abs(found - image).max() > 0.05


def test_gamma(image):
    found = ops.change_gamma(image, (0.5, 0.5), SEED)
    np.testing.assert_allclose(found, np.sqrt(image), atol=1e-5)


def test_background_changes_only_behind_known_masks(batch):
    found = ops.new_background(batch[keys.IMAGE], 1 - batch[keys.MASK], batch[keys.MASK_WEIGHT], 1.0, SEED)
    difference = np.abs(found - batch[keys.IMAGE])
    assert difference[:, 8:24, 8:24].max() == 0
    assert difference[:3].mean() > 0.05
    assert difference[3].max() == 0


def test_a_given_picture_is_the_new_background(batch, rng):
    """Behind the hand of a known mask the picture itself, which the other colours then change too; the hand stays."""
    behind = rng.uniform(size=(4, 32, 32, 3)).astype(np.float32)
    given = batch | {keys.BACKGROUND: tf.constant(behind)}
    found = ops.recolour(given, only(background_probability=1.0), SEED)[keys.IMAGE]
    inside = (
        batch[keys.MASK] * np.float32([1, 1, 1, 0])[:, None, None, None] + np.float32([0, 0, 0, 1])[:, None, None, None]
    )
    np.testing.assert_allclose(found, inside * batch[keys.IMAGE] + (1 - inside) * behind, atol=1e-4)


def test_a_new_background_ends_where_the_picture_ends(batch):
    half = np.ones([len(batch[keys.IMAGE]), 32, 32, 1], np.float32)
    half[:, :, 16:] = 0
    config = dataclasses.replace(NOTHING, background_probability=1.0)
    found = ops.recolour(batch | {keys.IN_PICTURE: tf.constant(half)}, config, SEED)[keys.IMAGE]
    difference = np.abs(found - batch[keys.IMAGE])
    assert difference[:, :, 16:].max() < 1e-5 and difference[:3, :, :8].mean() > 0.05


def test_blur_smooths_some_pictures_and_leaves_others(rng):
    noise = tf.constant(rng.uniform(size=(64, 16, 16, 3)), tf.float32)
    found = ops.blur(noise, 0.5, (2.0, 2.0), SEED).numpy()
    changed = np.abs(found - noise).max(axis=(1, 2, 3)) > 0
    assert 10 < changed.sum() < 54
    assert found[changed].std() < 0.7 * noise.numpy()[changed].std()


def test_noise_has_its_strength_and_no_mean(image):
    many = tf.fill([400, 32, 32, 3], 0.5)
    difference = (ops.add_noise(many, 0.1, SEED) - many).numpy()
    deviation = difference.std(axis=(1, 2, 3))
    assert deviation.max() <= 0.11
    assert deviation.mean() == pytest.approx(0.05, rel=0.15)
    assert abs(difference.mean()) < 0.01


def test_cut_out_is_one_grey_square(image):
    changed = np.abs(ops.cut_out(image, 1.0, (0.125, 0.125), SEED) - image).max(axis=-1) > 0
    for n in range(4):
        rows, columns = np.nonzero(changed[n])
        assert 0 < len(rows) <= 5 * 5
        assert max(np.ptp(rows), np.ptp(columns)) <= 4
        assert len(np.unique(ops.cut_out(image, 1.0, (0.125, 0.125), SEED)[n].numpy()[changed[n]])) == 1


@pytest.mark.parametrize("grey", range(3))
def test_grey_pictures_stay_grey(grey):
    """Grey pictures stay grey under every augmentation: brightness changes all channels equally."""
    same = tf.fill([4, 8, 8, 3], 0.25 * (grey + 1))
    found = ops.change_colours(same, only(hue=0.3, saturation=0.5, contrast=0.3, brightness=0.1), SEED)
    assert np.ptp(found, axis=-1).max() < 1e-5


def test_a_cut_out_square_fits_into_the_crop():
    with pytest.raises(ConfigError, match=r"augment.cutout_side must be at most 1, got \(0.5, 2.0\)"):
        AugmentConfig(cutout_side=(0.5, 2.0))
