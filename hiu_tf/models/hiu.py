"""The whole network: stem, then stacks of encoder, three decoders, attention, and the regressor."""

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

    x, outputs, regressors = stem_features, [], []
    for k in range(1, config.stacks + 1):
        name = f"stack{k}"
        levels = encoder(x, config, f"{name}_encoder")
        decoded = {task: decoder(levels, *spec, config, f"{name}_{task}") for task, spec in tasks.items()}
        fused = fuse([features for features, _ in decoded.values()], levels[0], config, f"{name}_attention")
        maps = {task: prediction for task, (_, prediction) in decoded.items()}
        both = layers.Concatenate(name=f"{name}_out")([stem_features, fused])
        seen = _seen_by_regressor(both, levels, maps, config)
        regressors.append(_regressor(k, regressors, {key: value.shape[1:] for key, value in seen.items()}, config))
        outputs.append(maps | regressors[-1](list(seen.values())))
        x = _next_input(both, fused, maps, config, name) if k < config.stacks else None
    return keras.Model(image, outputs, name="hiu")


def inference_network(network: keras.Model) -> keras.Model:
    """What of a network prediction needs: the last stack's answer without POF, [B, S, S, 3] -> dictionary.

    Earlier stacks keep what feeds the last one; every head that nobody reads falls away.
    """
    answer = {name: value for name, value in network.output[-1].items() if name != keys.POF}
    return keras.Model(network.input, answer, name="hiu_inference")


def _seen_by_regressor(features, levels, maps, config):
    """The paper's features, and what config.regressor_extra adds."""
    extra = {"encoder": levels[-1], "joints": maps[keys.HEATMAPS]}
    return {"features": features} | {name: extra[name] for name in config.regressor_extra}


def _regressor(k, before, shapes, config):
    """The regressor of stack k: one for all, or one for each."""
    if config.regressor == "shared":
        return before[0] if before else build_regressor(shapes, config)
    return build_regressor(shapes, config, f"stack{k}_regressor")


def _next_input(both, fused, maps, config, name):
    """What the next stack sees (config.cascade)."""
    if config.cascade == "fused":
        return fused
    if config.cascade == "stem_and_fused":
        return both
    factors = {task: prediction.shape[1] // both.shape[1] for task, prediction in maps.items()}
    shrunk = [
        layers.AveragePooling2D(factors[task], name=f"{name}_{task}_shrink")(prediction)
        for task, prediction in maps.items()
    ]
    return layers.Concatenate(name=f"{name}_next")([both, *shrunk])
