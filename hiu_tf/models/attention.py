"""Task attention module (supplement 1.1), and the other kinds of fusion that it is compared with.

The module weights the features of the tasks per channel: one average pooling per task, point-wise convolutions,
and for each channel a softmax over the tasks (docs/paper.md).
"""

import functools
import operator

import tensorflow as tf
import tf_keras as keras
from tf_keras import layers

from hiu_tf.config.schema import ModelConfig
from hiu_tf.models.blocks import batch_norm, convolution


@keras.saving.register_keras_serializable("hiu_tf")
class TaskMixture(layers.Layer):
    """Sum over tasks of softmax(scores) * features: T x [B, H, W, C] and [B, 1, 1, T * C] -> [B, H, W, C]."""

    def call(self, inputs):
        """Fuses the features; inputs are (list of features, scores)."""
        features, scores = inputs
        split = tf.split(scores, len(features), axis=-1)
        # The softmax is written out to keep all tensors in four dimensions, as GPUs of phones require.
        peak = functools.reduce(tf.maximum, split)
        shares = [tf.exp(score - peak) for score in split]
        total = functools.reduce(operator.add, shares)
        return sum(feature * (share / total) for feature, share in zip(features, shares))


def fuse(features, finest, config: ModelConfig, name: str):
    """Fuses the feature maps of T tasks (or takes the encoder's finest level, as config.fusion says) to tam_ft.

    All are [B, S/4, S/4, C].
    """
    if config.fusion == "none":
        return convolution(finest, config.feature_channels, 1, config, f"{name}_bypass")
    if config.fusion == "mean":
        return layers.Average(name=f"{name}_mean")(features)
    if config.fusion == "concat":
        together = layers.Concatenate(name=f"{name}_concat")(features)
        return convolution(together, config.feature_channels, 1, config, f"{name}_mix")
    return task_attention(features, config, name)


def task_attention(features, config: ModelConfig, name: str):
    """T feature maps [B, S/4, S/4, C] -> tam_ft [B, S/4, S/4, C]."""
    width, tasks = config.feature_channels, len(features)
    pooled = [layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_pool{t}")(x) for t, x in enumerate(features)]
    x = layers.Concatenate(name=f"{name}_concat")(pooled)
    for k, channels in enumerate((tasks * width, width, width, width, tasks * width), start=1):
        x = layers.Conv2D(channels, 1, use_bias=False, kernel_initializer="he_normal", name=f"{name}_point{k}")(x)
        x = batch_norm(x, config, f"{name}_point{k}_bn", epsilon=1e-3)  # 1x1 maps have few values and small variances
        x = layers.ReLU(name=f"{name}_point{k}_relu")(x)
    # All tasks have equal weights at first.
    scores = layers.Conv2D(tasks * width, 1, kernel_initializer="zeros", name=f"{name}_scores")(x)
    return TaskMixture(name=f"{name}_mix")([features, scores])
