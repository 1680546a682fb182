"""The whole network: stem, then stacks of encoder, three decoders, attention, and the shared regressor."""

import tf_keras as keras
from tf_keras import layers

from hiu_tf.config.schema import ModelConfig
from hiu_tf.conventions import keys
from hiu_tf.conventions.skeleton import NUM_BONES, NUM_JOINTS
from hiu_tf.models.attention import fuse
from hiu_tf.models.decoder import decoder
from hiu_tf.models.encoder import encoder
from hiu_tf.models.regressor import build_regressor
from hiu_tf.models.stem import stem


def build_hiu(config: ModelConfig) -> keras.Model:
    """Builds HIU-DMTL as a functional model (supplement 1.1).

    Returns:
      A model from image [B, S, S, 3] float32 RGB in [0, 1] to a list with one dictionary per stack,
      the last of which is the answer. Keys and shapes: `keys.NETWORK_OUTPUTS` in conventions/keys.py;
      everything is float32.
    """
    size = config.image_size
    tasks = {
        keys.HEATMAPS: (NUM_JOINTS, size // 2),
        keys.MASK: (1, size),
        keys.POF: (3 * NUM_BONES, size // 2),
    }
    image = keras.Input((size, size, 3), name=keys.IMAGE)
    stem_features = stem(layers.Rescaling(2.0, offset=-1.0, name="centre")(image), config)
    channels = stem_features.shape[-1] + config.feature_channels
    regressor = build_regressor((size // 4, size // 4, channels), config)

    x, outputs = stem_features, []
    for k in range(1, config.stacks + 1):
        name = f"stack{k}"
        levels = encoder(x, config, f"{name}_encoder")
        decoded = {task: decoder(levels, *spec, config, f"{name}_{task}") for task, spec in tasks.items()}
        fused = fuse([features for features, _ in decoded.values()], config, f"{name}_attention")
        x = layers.Concatenate(name=f"{name}_out")([stem_features, fused])
        outputs.append({task: prediction for task, (_, prediction) in decoded.items()} | regressor(x))
    return keras.Model(image, outputs, name="hiu")
