"""Named networks. Each is data; `model_config` looks one up."""

from dataclasses import replace

from hiu_tf.config.schema import ConfigError, ModelConfig

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

PRESETS = {
    # The paper's network and its ablations by number of stacks (supplement 2.3).
    "hiu_4stack": ModelConfig(),
    "hiu_1stack": ModelConfig(stacks=1),
    "hiu_2stack": ModelConfig(stacks=2),
    "hiu_8stack": ModelConfig(stacks=8),
    "hiu_small": _SMALL,
    # hiu_small at a quarter of the pixels: for grids of experiments on two cores.
    "hiu_small_64": replace(_SMALL, image_size=64),
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


def model_config(name: str) -> ModelConfig:
    """The preset of that name.

    Raises:
      ConfigError: there is none.
    """
    if name not in PRESETS:
        raise ConfigError(f"unknown model preset {name!r}; known are {', '.join(PRESETS)}")
    return PRESETS[name]
