"""One decoder per dense task: heat maps, mask, POF (supplement 1.1).

All three are alike: lateral 1x1 convolutions from each encoder level (the skip connections), a
top-down path with bilinear up-sampling, the feature map at S/4, and a head that predicts at S/4 (or
S/2, `head_stride`) and is up-sampled to the size of the task's map.
"""

import tf_keras as keras
from tf_keras import layers

from hiu_tf.config.schema import ModelConfig
from hiu_tf.models.blocks import convolution, spatial


def decoder(levels, out_channels: int, out_size: int, config: ModelConfig, name: str):
    """Encoder levels -> (features [B, S/4, S/4, C], prediction [B, out_size, out_size, out_channels])."""
    features = _top_down(levels, config, name)
    x = features
    for k in range(1, config.head_convolutions + 1):
        x = spatial(x, config.feature_channels, config, f"{name}_head{k}")
    if config.head_stride == 2:
        x = _enlarge(x, 2, f"{name}_head_resize")
    # Target maps are mostly 0, so that an initial prediction near 0 saves training steps.
    start = keras.initializers.RandomNormal(stddev=0.001)
    x = layers.Conv2D(
        out_channels, config.predict_kernel, padding="same", kernel_initializer=start, name=f"{name}_predict"
    )(x)
    return features, _enlarge(x, out_size // x.shape[1], name)


def _top_down(levels, config, name):
    """Top-down path, coarse to fine. Each step (initially 0) is added to the encoder's level of that resolution."""
    width = config.feature_channels
    laterals = [convolution(x, width, 1, config, f"{name}_lateral{k}") for k, x in enumerate(levels)]
    x = laterals[-1]
    for k in range(len(levels) - 2, -1, -1):
        for c in range(1, config.decoder_convolutions + 1):
            x = spatial(x, width, config, f"{name}_up{k}_{c}")
        x = _enlarge(x, 2, f"{name}_up{k}_resize")
        x = convolution(x, width, 1, config, f"{name}_up{k}_project", activation=False, silent=True)
        x = layers.Add(name=f"{name}_up{k}_add")([laterals[k], x])
    return x


def _enlarge(x, factor, name):
    """Up-samples in float32: TensorFlow gives float32 anyway, and XLA's gradient of 16 bit has the wrong type (2.15)."""
    return layers.UpSampling2D(factor, interpolation="bilinear", dtype="float32", name=name)(x)
