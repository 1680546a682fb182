"""Presets: named network configurations as data. `model_config` looks one up."""

from __future__ import annotations

from dataclasses import fields, replace

from hiu_tf.config.schema import ModelConfig
from hiu_tf.errors import ConfigError

# Half the resolution and narrow: trains on two CPU cores. The preset of `make demo`.
_SMALL = ModelConfig(
    image_size=128,
    stacks=1,
    stem_channels=(16, 32),
    encoder_channels=(128, 192, 384, 512),
    encoder_repetitions=(1, 2, 3, 3),  # depth where it is cheap
    feature_channels=32,
    head_convolutions=1,
    regressor_channels=(64, 128, 256, 512),
    regressor_repetitions=(1, 1, 1, 1),
    regressor_hidden=(256, 256),
)

# For phones, from ImageNet's weights (docs/networks.md).
_MOBILE = replace(
    _SMALL,
    image_size=160,
    encoder="efficientnet_lite0",
    feature_channels=48,
    decoder_convolutions=1,
    predict_kernel=1,
    regressor_channels=(48, 96, 160, 256),
    regressor_extra=("encoder", "joints", "joint_attention"),
)
_EDGE = replace(
    _MOBILE,
    image_size=128,
    encoder_stages=5,
    feature_channels=32,
    regressor_channels=(32, 64, 128, 192),
)

_SMALL_64 = replace(_SMALL, image_size=64)
_SMALL_64_QUARTER = {
    "encoder_channels": (56, 80, 128, 176),
    "feature_channels": 16,
    "regressor_channels": (32, 64, 128, 256),
}

_TIMES_3_4, _TIMES_1_2 = (192, 384, 768, 1536), (128, 256, 512, 1024)

PRESETS = {
    # The paper's network and its ablations by number of stacks (supplement 2.3).
    "hiu_4stack": ModelConfig(),
    "hiu_1stack": ModelConfig(stacks=1),
    "hiu_2stack": ModelConfig(stacks=2),
    "hiu_8stack": ModelConfig(stacks=8),
    # One, two and four stacks at the cost of hiu_1stack within 5% (supplement 2.3, item 3).
    "hiu_2stack_equal": ModelConfig(
        stacks=2, encoder_channels=_TIMES_3_4, regressor_channels=_TIMES_3_4, feature_channels=176
    ),
    "hiu_4stack_equal": ModelConfig(encoder_channels=_TIMES_1_2, regressor_channels=_TIMES_1_2, feature_channels=128),
    "hiu_mobile": _MOBILE,
    "hiu_edge": _EDGE,
    "hiu_small": _SMALL,
    # hiu_small at a quarter of the pixels: for grids of experiments on two cores.
    "hiu_small_64": _SMALL_64,
    # Two and four stacks at its cost within 5%, and eight of the four-stack width.
    "hiu_small_64_2stack_equal": replace(
        _SMALL_64,
        stacks=2,
        encoder_channels=(88, 128, 256, 320),
        feature_channels=22,
        regressor_channels=(48, 96, 192, 384),
    ),
    "hiu_small_64_4stack_equal": replace(_SMALL_64, stacks=4, **_SMALL_64_QUARTER),
    "hiu_small_64_8stack": replace(_SMALL_64, stacks=8, **_SMALL_64_QUARTER),
    # For tests only.
    "tiny": ModelConfig(
        image_size=64,
        stacks=1,
        stem_channels=(8, 8),
        encoder_channels=(8, 8, 16, 16),
        encoder_repetitions=(1, 1, 1, 1),
        feature_channels=8,
        head_convolutions=1,
        regressor_channels=(8, 8, 16, 16),
        regressor_repetitions=(1, 1, 1, 1),
        regressor_hidden=(16,),
    ),
}


def model_config(name: str, changes: dict | None = None) -> ModelConfig:
    """Returns the named preset with some settings changed.

    Raises:
      ConfigError: no such preset or setting, or an invalid value.
    """
    if name not in PRESETS:
        raise ConfigError(f"unknown model preset {name!r}; known are {', '.join(PRESETS)}")
    known = {field.name for field in fields(ModelConfig)}
    for setting in changes or ():
        if setting not in known:
            raise ConfigError(f"unknown setting network.{setting}; known are {', '.join(sorted(known))}")
    changed = {key: tuple(value) if isinstance(value, list) else value for key, value in (changes or {}).items()}
    try:
        return replace(PRESETS[name], **changed)
    except TypeError as error:
        raise ConfigError(f"network: {error}") from error
