"""Convolution blocks that all parts of the network use."""

import tf_keras as keras
from tf_keras import layers

from hiu_tf.config.schema import ModelConfig
from hiu_tf.models.depthwise import DepthwiseConv2D


def batch_norm(x, config: ModelConfig, name: str, epsilon: float = 1e-5, silent: bool = False):
    """Batch normalisation, synchronised if the config says so. `silent`: its initial output is 0."""
    return layers.BatchNormalization(
        momentum=config.batch_norm_momentum,
        epsilon=epsilon,
        gamma_initializer="zeros" if silent else "ones",
        synchronized=config.batch_norm_synchronized,
        name=name,
    )(x)


def convolution(x, channels: int, size: int, config: ModelConfig, name: str, stride=1, activation=True, silent=False):
    """Convolution without bias, batch normalisation, ReLU (unless activation is False).

    The initial output of a `silent` one is 0: added to a shortcut, it leaves the shortcut unchanged at first.
    """
    x = layers.Conv2D(
        channels,
        size,
        strides=stride,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(x)
    x = batch_norm(x, config, f"{name}_bn", silent=silent)
    return layers.ReLU(name=f"{name}_relu")(x) if activation else x


def spatial(x, channels: int, config: ModelConfig, name: str, stride=1):
    """A 3x3 convolution, or with config.convolution "separable" a 3x3 depthwise and a 1x1 convolution."""
    if config.convolution == "full":
        return convolution(x, channels, 3, config, name, stride)
    x = _depthwise(x, config, f"{name}_depth", stride)
    return convolution(x, channels, 1, config, name)


def bottleneck(x, channels: int, stride: int, config: ModelConfig, name: str):
    """ResNet's 1x1, 3x3, 1x1 block; a strided shortcut averages before its 1x1 (ResNet-D).

    With separable convolutions the 3x3 is depthwise, as in MobileNet's inverted residuals; a bottleneck_ratio
    above 1 then widens the middle. The initial output of the residual branch is 0, so that an untrained network
    consists of its shortcuts alone. Otherwise gradients grow a thousandfold from stack to stack (docs/paper.md).
    """
    middle = max(1, round(channels * config.bottleneck_ratio))
    y = convolution(x, middle, 1, config, f"{name}_reduce")
    if config.convolution == "full":
        y = convolution(y, middle, 3, config, f"{name}_spatial", stride)
    else:
        y = _depthwise(y, config, f"{name}_spatial", stride)
    y = convolution(y, channels, 1, config, f"{name}_expand", activation=False, silent=True)
    if stride > 1:
        x = layers.AveragePooling2D(stride, padding="same", name=f"{name}_shortcut_pool")(x)
    if x.shape[-1] != channels:
        x = convolution(x, channels, 1, config, f"{name}_shortcut", activation=False)
    return layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_add")([x, y]))


def residual_groups(x, channels, repetitions, config: ModelConfig, name: str):
    """conv2_x..conv5_x: four groups of bottlenecks at 1, 1/2, 1/4, 1/8 of the resolution of x.

    Returns the output of each group, finest first.
    """
    levels = []
    for group, (width, count) in enumerate(zip(channels, repetitions)):
        for block in range(count):
            stride = 2 if block == 0 and group > 0 else 1
            x = bottleneck(x, width, stride, config, f"{name}_g{group + 2}b{block + 1}")
        levels.append(x)
    return levels


def _depthwise(x, config, name, stride):
    x = DepthwiseConv2D(
        3, strides=stride, padding="same", use_bias=False, depthwise_initializer="he_normal", name=f"{name}_conv"
    )(x)
    return layers.ReLU(name=f"{name}_relu")(batch_norm(x, config, f"{name}_bn"))


def vector_head(features, coarsest, size: int, name: str):
    """Head that predicts numbers [B, size] for the whole hand from two pooled feature maps; initially near 0."""
    pooled = [
        layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_pool{k}")(x)
        for k, x in enumerate((features, coarsest))
    ]
    x = layers.Concatenate(name=f"{name}_pooled")(pooled)
    start = keras.initializers.RandomNormal(stddev=0.01)
    x = layers.Conv2D(size, 1, kernel_initializer=start, dtype="float32", name=f"{name}_predict")(x)
    return layers.Reshape((size,), name=name, dtype="float32")(x)
