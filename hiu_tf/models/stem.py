"""Stem module: two 7x7 convolutions of stride 2 (supplement 1.1)."""

from hiu_tf.config.schema import ModelConfig
from hiu_tf.models.blocks import convolution


def stem(image, config: ModelConfig):
    """[B, S, S, 3] -> [B, S/4, S/4, 128]."""
    x = image
    for k, channels in enumerate(config.stem_channels, start=1):
        x = convolution(x, channels, config.stem_kernel, config, f"stem{k}", stride=2)
    return x
