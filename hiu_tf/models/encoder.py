"""Encoder: the body of ResNet-50, conv2_x to conv5_x (supplement 1.1), or EfficientNet-Lite0's."""

from __future__ import annotations

import tf_keras as keras

from hiu_tf.config.schema import ModelConfig
from hiu_tf.errors import UserError
from hiu_tf.models import efficientnet
from hiu_tf.models.blocks import convolution, residual_groups

#: Layers of keras.applications' ResNet-50: the last one of each group, and the input of the first with its channels.
_RESNET50_LEVELS = ("conv2_block3_out", "conv3_block4_out", "conv4_block6_out", "conv5_block3_out")
_RESNET50_START, _RESNET50_CHANNELS = "pool1_pool", 64
_BODY = "resnet50"


def encoder(x, config: ModelConfig, name: str):
    """[B, S/4, S/4, C] -> levels at S/4, S/8, S/16, S/32."""
    if config.encoder == efficientnet.NAME:
        return efficientnet.lite0_encoder(x, config, name)
    if config.encoder == _BODY:
        x = convolution(x, _RESNET50_CHANNELS, 1, config, f"{name}_enter")
        return _resnet50_body(x.shape[1:], f"{name}_{_BODY}")(x)
    return residual_groups(x, config.encoder_channels, config.encoder_repetitions, config, name)


def load_encoder(network: keras.Model, encoder_name: str, path: str) -> int:
    """Initialises the encoder of a network with pretrained weights. Returns the number of parts set.

    Raises:
      UserError, OSError, ValueError: the file cannot be read or holds another network.
    """
    loaders = {_BODY: load_resnet50, efficientnet.NAME: efficientnet.load_lite0}
    return loaders[encoder_name](network, path) if encoder_name in loaders else 0


def load_resnet50(network: keras.Model, path: str) -> int:
    """Initialises the encoders of a network with ResNet-50's weights. Returns the number of encoders.

    Args:
      network: from `build_hiu` with encoder "resnet50".
      path: weights of keras.applications' ResNet50 without its top (its "notop" .h5 file), or "imagenet": Keras fetches
        this file once, checks its hash, and keeps it.

    Raises:
      OSError, ValueError: the file cannot be read or holds another network.
      UserError: the file cannot be fetched.
    """
    whole = (
        _with_imagenet_weights()
        if path == efficientnet.IMAGENET
        else keras.applications.ResNet50(include_top=False, weights=None)
    )
    if path != efficientnet.IMAGENET:
        whole.load_weights(path)
    bodies = [layer for layer in network.layers if layer.name.endswith(_BODY)]
    for body in bodies:
        for layer in body.layers:
            if layer.weights:
                layer.set_weights(whole.get_layer(layer.name).get_weights())
    return len(bodies)


def _with_imagenet_weights():
    try:
        return keras.applications.ResNet50(include_top=False, weights="imagenet")
    except Exception as error:  # Keras raises a plain Exception
        raise UserError(
            f"{error}. Without a connection, fetch the file elsewhere and give its path: "
            "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5 of keras.applications"
        ) from error


def _resnet50_body(input_shape, name):
    height, width, _ = input_shape
    whole = keras.applications.ResNet50(include_top=False, weights=None, input_shape=(4 * height, 4 * width, 3))
    levels = [whole.get_layer(level).output for level in _RESNET50_LEVELS]
    return keras.Model(whole.get_layer(_RESNET50_START).output, levels, name=name)
