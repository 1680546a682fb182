"""Depthwise convolution whose gradients are fast on CPUs.

oneDNN computes the kernel gradient of 3x3 depthwise convolutions ten times faster than that of 5x5, which took a
quarter of a training step of `hiu_mobile`. So it is put together from four gradients of 3x3 kernels. The gradient of the
input takes twenty times as long in bfloat16 as in float32 where the stride is 2: there it is computed in float32.
"""

import tensorflow as tf
import tf_keras as keras

_PARTS = (0, 2)  # first row or column of each 3x3 part of the 5x5 kernel; the middle one is in two parts
_PART = 3


@keras.utils.register_keras_serializable("hiu_tf")
class DepthwiseConv2D(keras.layers.DepthwiseConv2D):
    """Keras' layer, with "same" padding and without bias; only its gradient is computed in another way, on CPUs."""

    def call(self, inputs, training=None):
        """[B, H, W, C] -> [B, ceil(H / stride), ceil(W / stride), C]."""
        slow = self.kernel_size == (5, 5) or self.strides[0] > 1
        if training is not True or not slow or tf.config.list_logical_devices("GPU"):
            return super().call(inputs)
        return _convolve(inputs, tf.convert_to_tensor(self.depthwise_kernel), self.strides[0])


def _convolve(x, kernel, stride):
    settings = {"strides": [1, stride, stride, 1], "padding": "SAME"}
    precision = tf.float32 if stride > 1 else x.dtype  # of the input's gradient

    @tf.custom_gradient
    def convolve(x, kernel):
        def gradient(upstream):
            of_input = tf.raw_ops.DepthwiseConv2dNativeBackpropInput(
                input_sizes=tf.shape(x),
                filter=tf.cast(kernel, precision),
                out_backprop=tf.cast(upstream, precision),
                **settings,
            )
            if kernel.shape[0] == 5:
                of_kernel = kernel_gradient(x, upstream, stride)
            else:
                of_kernel = tf.raw_ops.DepthwiseConv2dNativeBackpropFilter(
                    input=x, filter_sizes=kernel.shape, out_backprop=upstream, **settings
                )
            return tf.cast(of_input, x.dtype), of_kernel

        return tf.raw_ops.DepthwiseConv2dNative(input=x, filter=kernel, **settings), gradient

    return convolve(x, kernel)


def kernel_gradient(x: tf.Tensor, upstream: tf.Tensor, stride: int) -> tf.Tensor:
    """Gradient [5, 5, C, 1] of the kernel of a 5x5 depthwise convolution with "same" padding.

    Args:
      x: the convolution's input [B, H, W, C].
      upstream: gradient of its output [B, ceil(H / stride), ceil(W / stride), C].
      stride: of the convolution.
    """
    height, width = upstream.shape[1:3]
    padding = [_same_padding(length, stride) for length in x.shape[1:3]]
    padded = tf.pad(x, [[0, 0], *padding, [0, 0]])

    def part(top, left):
        seen = padded[:, top : top + (height - 1) * stride + _PART, left : left + (width - 1) * stride + _PART]
        return tf.raw_ops.DepthwiseConv2dNativeBackpropFilter(
            input=seen,
            filter_sizes=[_PART, _PART, x.shape[-1], 1],
            out_backprop=upstream,
            strides=[1, stride, stride, 1],
            padding="VALID",
        )

    rows = [_joined([part(top, left) for left in _PARTS], axis=1) for top in _PARTS]
    return _joined(rows, axis=0)


def _joined(parts, axis):
    first, second = parts
    return tf.concat([first, tf.split(second, [1, 2], axis=axis)[1]], axis=axis)


def _same_padding(length, stride):
    """TensorFlow's "SAME" padding of a 5x5 convolution, before and after."""
    total = max((-(-length // stride) - 1) * stride + 5 - length, 0)
    return [total // 2, total - total // 2]
