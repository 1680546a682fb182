"""The detector's network: EfficientNet-Lite0 to S/16 and one decoder that predicts `centres.CHANNELS` maps at S/4."""

from __future__ import annotations

import tf_keras as keras
from tf_keras import layers

from hiu_tf.codecs.centres import CHANNELS, STRIDE
from hiu_tf.config.detection import DetectorConfig
from hiu_tf.config.schema import ModelConfig
from hiu_tf.conventions import keys
from hiu_tf.models.decoder import decoder
from hiu_tf.models.encoder import encoder
from hiu_tf.models.stem import stem


def build_detector(config: DetectorConfig) -> keras.Model:
    """Builds a model from squares [B, S, S, 3] float32 RGB in [0, 1] to maps [B, S/4, S/4, 8] (codecs/centres.py)."""
    parts = ModelConfig(
        encoder="efficientnet_lite0",
        encoder_stages=5,
        convolution="separable",
        feature_channels=config.feature_channels,
        decoder_convolutions=1,
        head_convolutions=1,
        predict_kernel=1,
        batch_norm_momentum=config.batch_norm_momentum,
    )
    image = keras.Input((config.image_size, config.image_size, 3), name=keys.IMAGE)
    x = stem(layers.Rescaling(2.0, offset=-1.0, name="centre")(image), parts)
    _, maps = decoder(encoder(x, parts, "encoder"), CHANNELS, config.image_size // STRIDE, parts, "hands")
    return keras.Model(image, maps, name="hand_detector")
