"""Weights of the labels of a hand, against values written by hand."""

import numpy as np
import tensorflow as tf

from hiu_tf.conventions import keys
from hiu_tf.tasks import hand


def weights(wrist, thumb4=1.0):
    """[1, 21], one everywhere but for the wrist and the tip of the thumb."""
    found = np.ones((1, 21), np.float32)
    found[0, [0, 4]] = wrist, thumb4
    return found


def test_joints_in_3d_need_the_wrist():
    """They are compared relative to the wrist: without its label none of them counts."""
    gt = {keys.JOINTS_3D_WEIGHT: tf.constant(np.concatenate([weights(0.0), weights(1.0, 0.0), weights(0.5)]))}
    found = hand.joints_with_wrist(gt).numpy()
    assert not found[0].any()
    np.testing.assert_array_equal(found[1], weights(1.0, 0.0)[0])
    np.testing.assert_array_equal(found[2], [0.5] * 21)


def test_a_recipes_weight_counts_once_in_every_loss():
    """`data.SET.joints_3d` multiplies the weights of all 21 joints."""
    gt = {keys.JOINTS_3D_WEIGHT: tf.fill([1, 21], 0.3), keys.HAS_MESH: tf.ones(1), keys.HAS_PARAMETERS: tf.ones(1)}
    for weights_of in (hand.joints_with_wrist, hand.whole_bones, hand.whole_meshes, hand.whole_parameters):
        np.testing.assert_allclose(weights_of(gt), 0.3, err_msg=weights_of.__name__)


def test_meshes_and_parameters_need_the_wrist():
    has = tf.constant([1.0, 1.0, 0.0])
    gt = {
        keys.JOINTS_3D_WEIGHT: tf.constant(np.concatenate([weights(0.0), weights(0.5), weights(1.0)])),
        keys.HAS_MESH: has,
        keys.HAS_PARAMETERS: has,
    }
    np.testing.assert_array_equal(hand.whole_meshes(gt), [0, 0.5, 0])
    np.testing.assert_array_equal(hand.whole_parameters(gt), [0, 0.5, 0])


def test_bones_need_both_ends():
    """Five bones start in the wrist, one ends in the tip of the thumb."""
    found = hand.whole_bones({keys.JOINTS_3D_WEIGHT: tf.constant(np.concatenate([weights(0.0), weights(1.0, 0.0)]))})
    assert found.shape == (2, 20)
    np.testing.assert_array_equal(tf.reduce_sum(found, axis=1), [15, 19])


def test_importance_of_joints_in_2d():
    """Wrist 2.5, roots and tips 1.7, the others 1; of those that are labelled."""
    expected = np.array([2.5] + [1.7, 1, 1, 1.7] * 5, np.float32) * weights(1.0, 0.0)[0]
    np.testing.assert_array_equal(hand.important_joints({keys.JOINTS_2D_WEIGHT: weights(1.0, 0.0)}), [expected])
