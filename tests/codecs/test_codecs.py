import numpy as np
import pytest
import tensorflow as tf

from hiu_tf.codecs import heatmap, pof
from hiu_tf.conventions.skeleton import BONES


@pytest.fixture
def joints(rng):
    return tf.constant(rng.uniform(60, 196, (3, 21, 2)), tf.float32)


def test_heatmap_peak_and_width():
    maps = heatmap.encode(tf.constant([[[127.5, 63.5]]]), 256, 128).numpy()[0, ..., 0]
    assert np.unravel_index(maps.argmax(), maps.shape) in ((31, 63), (32, 64), (31, 64), (32, 63))
    sigma = np.sqrt((maps.sum(0) * (np.arange(128) - 63.5) ** 2).sum() / maps.sum())
    assert sigma == pytest.approx(heatmap.SIGMA_AT_128, rel=1e-2)


@pytest.mark.parametrize("floor", [0.0, heatmap.FLOOR])
def test_heatmap_round_trip(joints, floor):
    maps = heatmap.encode(joints, 256, 128)
    np.testing.assert_allclose(heatmap.decode(maps, 256, floor), joints, atol=0.1)


def test_floor_keeps_background_from_pulling(joints):
    noisy = heatmap.encode(joints, 256, 128) + 0.02
    plain = np.abs(heatmap.decode(noisy, 256, 0.0) - joints).max()
    assert np.abs(heatmap.decode(noisy, 256) - joints).max() < 1.0 < plain


def test_scores_are_the_peaks(joints):
    maps = 0.7 * heatmap.encode(joints, 256, 128)
    np.testing.assert_allclose(heatmap.scores(maps), 0.7, atol=0.02)


def test_pof_round_trip(joints, rng):
    deep = tf.constant(rng.normal(size=(3, 21, 3)), tf.float32)
    field = pof.encode(joints, deep, 256, 128)
    np.testing.assert_allclose(pof.decode(field, joints, 256), pof.directions(joints, deep), atol=1e-4)


def test_pof_is_zero_away_from_its_bone():
    flat = np.full((1, 21, 2), 40.0, np.float32)
    flat[0, 1] = [80.0, 40.0]
    deep = np.zeros((1, 21, 3), np.float32)
    deep[0, 1] = [0.03, 0.0, 0.04]
    field = pof.encode(tf.constant(flat), tf.constant(deep), 256, 128).numpy()[0]
    np.testing.assert_allclose(field[20, 30, :3], [1.0, 0.0, 0.8], atol=1e-5)
    assert not field[60:, :, :3].any()


def test_pof_weights_need_both_ends():
    """2D labels alone give weights to (x, y), 3D labels to all three; joint 2 has neither, joint 8 no 3D, 12 no 2D."""
    flat, deep = np.ones((1, 21), np.float32), np.ones((1, 21), np.float32)
    flat[0, [2, 12]], deep[0, [2, 8]] = 0, 0
    weights = pof.weights(tf.constant(flat), tf.constant(deep)).numpy().reshape(20, 3)
    for (parent, child), weight in zip(BONES, weights):
        expected = [0, 0, 0] if 2 in (parent, child) else [1, 1, 0] if 8 in (parent, child) else [1, 1, 1]
        np.testing.assert_array_equal(weight, expected)


def test_xiang_is_the_direction_in_3d(joints, rng):
    deep = tf.constant(rng.normal(size=(3, 21, 3)), tf.float32)
    found = pof.decode(pof.encode(joints, deep, 256, 128, "xiang"), joints, 256)
    bones = deep.numpy()[:, BONES[:, 1]] - deep.numpy()[:, BONES[:, 0]]
    np.testing.assert_allclose(found, bones / np.linalg.norm(bones, axis=-1, keepdims=True), atol=1e-4)


def test_xiang_with_2d_labels_alone(joints, rng):
    """The target is the direction in the picture; a prediction in this direction is right at any length."""
    flat_only = pof.only_flat(tf.ones([3, 21]), tf.zeros([3, 21]))
    assert np.all(flat_only == 1)
    target = pof.encode(joints, tf.zeros([3, 21, 3]), 256, 64, "xiang", flat_only)
    np.testing.assert_allclose(target, pof.encode(joints, tf.zeros([3, 21, 3]), 256, 64), atol=1e-5)
    shorter = target * tf.constant(rng.uniform(0.1, 2.0, target.shape[:1] + [1, 1, 1]), tf.float32)
    np.testing.assert_allclose(pof.scale_flat(shorter, target, flat_only), target, atol=1e-3)
    np.testing.assert_array_equal(pof.scale_flat(shorter, target, tf.zeros_like(flat_only)), shorter)
    assert not pof.only_flat(tf.ones([3, 21]), tf.ones([3, 21])).numpy().any()


def test_a_bone_labelled_partly_in_2d_and_partly_in_3d_is_flat():
    """Its direction is that in the picture: the 3D joint that has no label tells nothing."""
    flat, deep = np.zeros((1, 21), np.float32), np.zeros((1, 21), np.float32)
    flat[0, :5] = 1
    deep[0, 5:] = flat[0, 0] = 1
    chosen = pof.only_flat(tf.constant(flat), tf.constant(deep)).numpy()[0]
    expected = [not (deep[0, a] and deep[0, b]) for a, b in BONES]
    np.testing.assert_array_equal(chosen, np.array(expected, np.float32))
