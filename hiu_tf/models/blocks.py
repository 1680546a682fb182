"""Convolution blocks that every part of the network is made of."""

from tf_keras import layers


def convolution(x, channels, size, momentum, name, stride=1, activation=True):
    """Convolution without bias, batch normalisation, ReLU (unless activation is False)."""
    x = layers.Conv2D(
        channels,
        size,
        strides=stride,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(x)
    x = layers.BatchNormalization(momentum=momentum, epsilon=1e-5, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x) if activation else x


def bottleneck(x, channels, stride, momentum, name):
    """ResNet's 1x1, 3x3, 1x1 block; a strided shortcut averages before its 1x1 (ResNet-D)."""
    middle = channels // 4
    y = convolution(x, middle, 1, momentum, f"{name}_reduce")
    y = convolution(y, middle, 3, momentum, f"{name}_spatial", stride=stride)
    y = convolution(y, channels, 1, momentum, f"{name}_expand", activation=False)
    if stride > 1:
        x = layers.AveragePooling2D(stride, padding="same", name=f"{name}_shortcut_pool")(x)
    if x.shape[-1] != channels:
        x = convolution(x, channels, 1, momentum, f"{name}_shortcut", activation=False)
    return layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_add")([x, y]))


def residual_groups(x, channels, repetitions, momentum, name):
    """conv2_x..conv5_x: four groups of bottlenecks at 1, 1/2, 1/4, 1/8 of the resolution of x.

    Returns the output of each group, finest first.
    """
    levels = []
    for group, (width, count) in enumerate(zip(channels, repetitions)):
        for block in range(count):
            stride = 2 if block == 0 and group > 0 else 1
            x = bottleneck(x, width, stride, momentum, f"{name}_g{group + 2}b{block + 1}")
        levels.append(x)
    return levels
