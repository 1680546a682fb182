"""What the regressor reads at the joints, against formulas written out in NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from hiu_tf.codecs import heatmap
from hiu_tf.models.joints import Attend, Standardise, tokens_at_joints


def test_attention_is_the_softmax_of_queries_and_keys(rng):
    x = rng.normal(size=(2, 5, 1, 3 * 8))
    found = Attend(heads=2)(tf.constant(x, tf.float32)).numpy()
    for hand in range(2):
        for head in range(2):
            queries, keys, values = (x[hand, :, 0, start + 4 * head : start + 4 * head + 4] for start in (0, 8, 16))
            scores = np.exp(queries @ keys.T / np.sqrt(4))
            expected = scores / scores.sum(axis=1, keepdims=True) @ values
            np.testing.assert_allclose(found[hand, :, 0, 4 * head : 4 * head + 4], expected, atol=1e-5)


def test_standardised_features_keep_no_scale_and_no_offset(rng):
    x = rng.normal(size=(3, 4, 1, 64))
    plain, moved = (Standardise()(tf.constant(y, tf.float32)).numpy() for y in (10 * x, 30 * x + 5))
    np.testing.assert_allclose(plain, moved, atol=1e-3)
    np.testing.assert_allclose(plain.std(axis=-1), 1.0, atol=1e-3)
    assert np.abs(Standardise()(tf.constant(1e-3 * x, tf.float32))).max() < 0.1  # what hardly varies says nothing


def test_a_joint_is_told_by_its_features_its_place_and_its_score(rng):
    """The same map that is moved reads the features of another place; an empty one reads nothing."""
    joints = tf.constant([[[4.0, 10.0], [20.0, 6.0], [20.0, 20.0]]])
    maps = heatmap.encode(joints, 32, 16) * [1.0, 1.0, 0.0]
    features = np.zeros((1, 8, 8, 2), np.float32)
    features[:, :, :4, 0] = features[:, :, 4:, 1] = 1.0  # the left half, the right half
    tokens = tokens_at_joints([tf.constant(features)], maps, "tokens").numpy()[0, :, 0]
    assert tokens.shape == (3, 2 + 3)
    assert tokens[0, 0] > 0.9 > -0.9 > tokens[0, 1] and tokens[1, 1] > 0.9 > -0.9 > tokens[1, 0]
    # The crop's middle is 0, its edges are 1.
    expected = [heatmap.to_map(place, 32, 16) / 7.5 - 1 for place in joints[0, :2].numpy()]
    np.testing.assert_allclose(tokens[:2, 2:4], expected, atol=0.1)
    assert tokens[:2, 4] == pytest.approx(1.0, abs=0.2)
    np.testing.assert_allclose(tokens[2], 0, atol=1e-5)
