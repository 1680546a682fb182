"""Encoder: the body of ResNet-50, conv2_x to conv5_x (supplement 1.1)."""

from hiu_tf.config.schema import ModelConfig
from hiu_tf.models.blocks import residual_groups


def encoder(x, config: ModelConfig, name: str):
    """[B, S/4, S/4, C] -> four levels at S/4, S/8, S/16, S/32."""
    return residual_groups(x, config.encoder_channels, config.encoder_repetitions, config.batch_norm_momentum, name)
