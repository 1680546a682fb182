"""The quick kernel gradient equals TensorFlow's own, in the layer too."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from hiu_tf.models.depthwise import DepthwiseConv2D, kernel_gradient


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("height, width", [(5, 5), (10, 7), (13, 20), (1, 2)])
def test_the_kernel_gradient_is_tensorflows(rng, stride, height, width):
    x = tf.constant(rng.normal(size=[3, height, width, 6]), tf.float32)
    kernel = tf.constant(rng.normal(size=[5, 5, 6, 1]), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(kernel)
        convolved = tf.nn.depthwise_conv2d(x, kernel, [1, stride, stride, 1], "SAME")
    upstream = tf.constant(rng.normal(size=convolved.shape), tf.float32)
    expected = tape.gradient(convolved, kernel, output_gradients=upstream)
    np.testing.assert_allclose(kernel_gradient(x, upstream, stride), expected, atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize("size", [3, 5])
def test_the_layer_computes_what_keras_does(rng, size):
    """Output and gradients, in training and in inference."""
    x = tf.constant(rng.normal(size=[2, 9, 12, 4]), tf.float32)
    settings = {"strides": 2, "padding": "same", "use_bias": False}
    ours, theirs = DepthwiseConv2D(size, **settings), keras.layers.DepthwiseConv2D(size, **settings)
    theirs(x), ours(x, training=True)
    theirs.set_weights(ours.get_weights())

    def results(layer, **training):
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = tf.reduce_sum(tf.sin(layer(x, **training)))
        return [total, *tape.gradient(total, [x, layer.depthwise_kernel])]

    for training in (True, False):
        for found, expected in zip(results(ours, training=training), results(theirs)):
            np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [3, 5])
def test_bfloat16_is_near_float32(rng, size, stride):
    """Gradients of input and kernel are within 2% of the largest: bfloat16 keeps 8 bits."""
    x = tf.constant(rng.normal(size=[2, 9, 12, 4]), tf.float32)
    layer = DepthwiseConv2D(size, strides=stride, padding="same", use_bias=False, dtype="mixed_bfloat16")
    upstream = tf.constant(rng.normal(size=layer(x, training=True).shape), tf.float32)
    kernel = layer.depthwise_kernel
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        found = layer(x, training=True)
        expected = tf.nn.depthwise_conv2d(x, tf.convert_to_tensor(kernel), [1, stride, stride, 1], "SAME")
    assert found.dtype == tf.bfloat16
    for target in (x, kernel):
        exact = tape.gradient(expected, target, upstream)
        near = tape.gradient(found, target, tf.cast(upstream, tf.bfloat16))
        assert near.dtype == tf.float32
        np.testing.assert_allclose(near, exact, atol=0.02 * np.abs(exact).max())


def test_the_slow_gradient_of_bfloat16_is_computed_in_float32():
    layer = DepthwiseConv2D(3, strides=2, padding="same", use_bias=False, dtype="mixed_bfloat16")
    layer.build([2, 9, 12, 4])
    step = tf.function(lambda x: tf.gradients(layer(x, training=True), x), autograph=False)
    graph = step.get_concrete_function(tf.TensorSpec([2, 9, 12, 4])).graph
    types = {op.type: op.outputs[0].dtype for op in graph.get_operations() if "Depthwise" in op.type}
    assert types["DepthwiseConv2dNative"] == tf.bfloat16
    assert types["DepthwiseConv2dNativeBackpropInput"] == tf.float32
