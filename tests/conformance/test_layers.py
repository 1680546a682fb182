"""Every Keras layer of the package, found by reflection, obeys the same rules."""

import importlib
import pkgutil

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import hiu_tf.hand
import hiu_tf.models
from hiu_tf.hand.layer import HandLayer
from hiu_tf.models.attention import TaskMixture
from hiu_tf.models.depthwise import DepthwiseConv2D
from hiu_tf.models.joints import Attend, FeaturesAtJoints, JointEmbedding, ReadJoints, Standardise
from hiu_tf.models.regressor import HandParameters


def layer_classes():
    found = set()
    for package in (hiu_tf.models, hiu_tf.hand):
        for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
            for value in vars(importlib.import_module(module.name)).values():
                if (
                    isinstance(value, type)
                    and issubclass(value, keras.layers.Layer)
                    and value.__module__.startswith("hiu_tf")
                ):
                    found.add(value)
    return found


def examples(hand):
    """{class: (layer, input with batch size 2)}."""
    generator = np.random.default_rng(0)
    draw = lambda *shape: tf.constant(generator.normal(size=shape), tf.float32)
    return {
        TaskMixture: (TaskMixture(), ([draw(2, 4, 4, 5) for _ in range(3)], draw(2, 1, 1, 15))),
        DepthwiseConv2D: (DepthwiseConv2D(5, padding="same", use_bias=False), draw(2, 8, 8, 5)),
        HandParameters: (HandParameters(), draw(2, 61)),
        FeaturesAtJoints: (FeaturesAtJoints(), [draw(2, 4, 4, 6), draw(2, 8, 8, 21)]),
        ReadJoints: (ReadJoints(), draw(2, 8, 8, 21)),
        Standardise: (Standardise(), draw(2, 21, 1, 8)),
        Attend: (Attend(2), draw(2, 21, 1, 24)),
        JointEmbedding: (JointEmbedding(), draw(2, 21, 1, 8)),
        HandLayer: (
            HandLayer(hand),
            {"shape": draw(2, 10), "pose": draw(2, 15, 3), "rotation": draw(2, 3), "translation": draw(2, 3)},
        ),
    }


def test_every_layer_has_an_example(hand):
    assert layer_classes() == set(examples(hand))


@pytest.mark.parametrize("cls", sorted(layer_classes(), key=lambda c: c.__name__), ids=lambda c: c.__name__)
def test_rules(cls, hand):
    layer, inputs = examples(hand)[cls]
    eager = layer(inputs)
    graph = tf.function(lambda x: layer(x), autograph=False)(inputs)
    rows = [layer(tf.nest.map_structure(lambda x, i=i: x[i : i + 1], inputs)) for i in range(2)]
    for a, b, *parts in zip(tf.nest.flatten(eager), tf.nest.flatten(graph), *map(tf.nest.flatten, rows)):
        assert a.dtype == tf.float32
        assert np.isfinite(a).all()
        np.testing.assert_allclose(a, b, atol=1e-5, err_msg="eager and graph differ")
        np.testing.assert_allclose(a, np.concatenate(parts), atol=1e-5, err_msg="samples influence each other")


def test_task_mixture_is_a_convex_sum():
    layer, (features, scores) = (
        TaskMixture(),
        (list(tf.unstack(tf.random.stateless_normal([3, 2, 4, 4, 5], [1, 2]))), tf.zeros([2, 1, 1, 15])),
    )
    np.testing.assert_allclose(layer((features, scores)), np.mean(features, axis=0), atol=1e-6)
    sure = tf.concat([tf.fill([2, 1, 1, 5], 50.0), tf.zeros([2, 1, 1, 10])], axis=-1)
    np.testing.assert_allclose(layer((features, sure)), features[0], atol=1e-5)


def test_read_joints_says_where_peaks_are():
    """A peak in a corner, one in the middle, and an empty map: position in [-1, 1], and score."""
    maps = np.zeros((1, 9, 9, 3), np.float32)
    maps[0, 0, 8, 0], maps[0, 4, 4, 1] = 1.0, 0.5
    read = ReadJoints()(tf.constant(maps)).numpy().reshape(3, 3)
    np.testing.assert_allclose(read, [[1, -1, 1], [0, 0, 0.5], [0, 0, 0]], atol=1e-4)


def test_features_are_those_under_the_peak_of_each_joint():
    """A peak in a corner, a flat map, an empty one and a negative one: that corner's features, their mean, and nothing."""
    features = np.random.default_rng(0).normal(size=(1, 4, 4, 6)).astype(np.float32)
    maps = np.zeros((1, 16, 16, 4), np.float32)
    maps[0, :4, 12:, 0], maps[0, ..., 1], maps[0, ..., 3] = 1.0, 0.7, -2.0
    found = FeaturesAtJoints()([tf.constant(features), tf.constant(maps)]).numpy()
    assert found.shape == (1, 4, 1, 6)
    np.testing.assert_allclose(found[0, 0, 0], features[0, 0, 3] / (1 + 16 / 6400), atol=1e-5)
    mass = 0.49
    np.testing.assert_allclose(found[0, 1, 0], features[0].mean(axis=(0, 1)) * mass / (mass + 1 / 6400), atol=1e-5)
    assert not found[0, 2:].any()


def test_maps_learn_nothing_from_the_features_that_are_read_at_them():
    features, maps = tf.Variable(tf.ones([1, 4, 4, 6])), tf.Variable(tf.ones([1, 8, 8, 3]))
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(FeaturesAtJoints()([features, maps]))
    by_features, by_maps = tape.gradient(total, [features, maps])
    assert by_maps is None
    assert (by_features.numpy() > 0).all()
