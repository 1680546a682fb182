"""Stem module: two 7x7 convolutions of stride 2 (supplement 1.1), or EfficientNet-Lite0's first stages."""

from hiu_tf.config.schema import ModelConfig
from hiu_tf.models import efficientnet
from hiu_tf.models.blocks import convolution


def stem(image, config: ModelConfig):
    """[B, S, S, 3] in [-1, 1] -> [B, S/4, S/4, 128], or 24 channels of EfficientNet-Lite0."""
    if config.encoder == efficientnet.NAME:
        return efficientnet.lite0_stem(image, config)
    x = image
    for k, channels in enumerate(config.stem_channels, start=1):
        x = convolution(x, channels, config.stem_kernel, config, f"stem{k}", stride=2)
    return x
