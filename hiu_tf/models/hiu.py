"""The whole network: stem, then stacks of encoder, a decoder for each dense task, attention, and the other heads."""

from collections.abc import Iterable

import tf_keras as keras
from tf_keras import layers

from hiu_tf.config.schema import ModelConfig
from hiu_tf.conventions import keys
from hiu_tf.errors import ConfigError
from hiu_tf.models.attention import fuse
from hiu_tf.models.blocks import vector_head
from hiu_tf.models.decoder import decoder
from hiu_tf.models.encoder import encoder
from hiu_tf.models.joints import tokens_at_joints
from hiu_tf.models.regressor import build_regressor
from hiu_tf.models.stem import stem
from hiu_tf.tasks import PAPER, find_tasks
from hiu_tf.tasks.base import HandParameters, Maps, Task, Vector


def build_hiu(config: ModelConfig) -> keras.Model:
    """Builds HIU-DMTL as a functional model (supplement 1.1).

    Returns:
      A model from image [B, S, S, 3] float32 RGB in [0, 1] to a tuple with one dictionary of raw outputs per
      stack; the last stack is used for prediction. Keys are those of the tasks' `raw` (shapes:
      conventions/keys.py). All outputs are float32.

    Raises:
      ConfigError: unknown task, or a task that another setting needs is missing.
    """
    size, tasks = config.image_size, find_tasks(config.tasks)
    dense = [task for task in tasks if isinstance(task.head, Maps)]
    _require_tasks(config, [task.name for task in tasks], dense)
    image = keras.Input((size, size, 3), name=keys.IMAGE)
    stem_features = stem(layers.Rescaling(2.0, offset=-1.0, name="centre")(image), config)

    x, outputs, regressors = stem_features, [], []
    for k in range(1, config.stacks + 1):
        name = f"stack{k}"
        levels = encoder(x, config, f"{name}_encoder")
        decoded = [decoder(levels, t.head.channels, size // t.head.stride, config, f"{name}_{t.name}") for t in dense]
        fused = fuse([features for features, _ in decoded], levels[0], config, f"{name}_attention")
        maps = {task.raw[0]: prediction for task, (_, prediction) in zip(dense, decoded)}
        both = layers.Concatenate(name=f"{name}_out")([stem_features, fused])
        outputs.append(dict(maps))
        for task in tasks:
            if isinstance(task.head, HandParameters):
                seen = _seen_by_regressor(both, levels, maps, config, name)
                shapes = {key: value.shape[1:] for key, value in seen.items()}
                regressors.append(_regressor(k, regressors, shapes, config))
                outputs[-1] |= regressors[-1](list(seen.values()))
            elif isinstance(task.head, Vector):
                outputs[-1][task.raw[0]] = vector_head(both, levels[-1], task.head.size, f"{name}_{task.name}")
        x = _next_input(both, fused, maps, config, name) if k < config.stacks else None
    return keras.Model(image, tuple(outputs), name="hiu")  # of a list with one output, Keras would make that output


def inference_network(network: keras.Model, tasks: Iterable[Task] = PAPER) -> keras.Model:
    """The part of a network that prediction needs: [B, S, S, 3] -> dictionary of the last stack's raw outputs.

    Earlier stacks keep only the layers that feed the last one. Heads of tasks that export nothing (POF) are left out.
    """
    read = [key for task in tasks if task.outputs for key in task.raw]
    return keras.Model(network.input, {key: network.output[-1][key] for key in read}, name="hiu_inference")


def _require_tasks(config, names, dense):
    """Checks that the tasks needed by other settings are present."""
    if not dense and config.fusion != "none":
        raise ConfigError(f"network.fusion {config.fusion} needs a task with maps among network.tasks, got {names}")
    for extra in config.regressor_extra:
        if extra != "encoder" and "heatmaps" not in names:
            raise ConfigError(f"network.regressor_extra {extra} needs heatmaps among network.tasks, got {names}")


def _seen_by_regressor(features, levels, maps, config, name):
    """Inputs of the regressor: the paper's features, and the inputs in config.regressor_extra."""
    heatmaps = maps.get(keys.HEATMAPS)
    extra = {
        "encoder": lambda: levels[-1],
        "joints": lambda: heatmaps,
        "joint_attention": lambda: tokens_at_joints([features, levels[2]], heatmaps, f"{name}_tokens"),
    }
    return {"features": features} | {key: extra[key]() for key in config.regressor_extra}


def _regressor(k, before, shapes, config):
    """The regressor of stack k: shared by all stacks, or one per stack."""
    if config.regressor == "shared":
        return before[0] if before else build_regressor(shapes, config)
    return build_regressor(shapes, config, f"stack{k}_regressor")


def _next_input(both, fused, maps, config, name):
    """Input of the next stack (config.cascade)."""
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
