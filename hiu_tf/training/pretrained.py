"""Loads the weights with which a new run starts: those of another run, or an encoder's that were trained before."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import tf_keras as keras

from hiu_tf.config.schema import TrainConfig
from hiu_tf.errors import ConfigError, UserError
from hiu_tf.models import efficientnet
from hiu_tf.models.encoder import load_encoder
from hiu_tf.models.joints import JOINT_ATTENTION
from hiu_tf.training.folder import WEIGHTS, is_exported, load_run, load_weights

#: Layers that only one of two networks may have: a head of numbers (models/blocks.py), and what the regressor adds.
_MAY_DIFFER = rf"stack\d+_[a-z]+_predict|[a-z\d_]+/{JOINT_ATTENTION}_.*"
_OWN_STEM = "the encoder starts", "all else (stem, 1x1 into the encoder, decoders, attention, regressor)"
_WITH_STEM = "stem and encoder start", "all else"


def start_weights(
    network: keras.Model, encoder: str, settings: TrainConfig, load: Callable[[Path], keras.Model]
) -> None:
    """Loads `train.start_from`, or else `train.encoder_weights`; with neither, the weights stay random.

    Args:
      network: to initialise.
      encoder: its kind (`ModelConfig.encoder`).
      settings: of the training.
      load: folder of a run or of an exported SavedModel -> its network.

    Raises:
      UserError: the weights cannot be read or belong to another network.
    """
    if settings.start_from:
        _refuse_last_stack(network, Path(settings.start_from))
        try:
            load_weights(network, Path(settings.start_from))
        except UserError:  # another network: it may differ by what `copy_layers` allows
            copy_layers(load(Path(settings.start_from)), network, settings.start_from)
    elif settings.encoder_weights:
        start_encoder(network, encoder, settings.encoder_weights)


def _refuse_last_stack(network, folder):
    """Refuses an exported model for a network of several stacks: the heads of all but the last are not in it."""
    stacks = len(network.output) if isinstance(network.output, (list, tuple)) else 1
    if stacks > 1 and is_exported(folder) and not (folder / WEIGHTS).is_file():
        raise UserError(f"{folder} has the last of {stacks} stacks alone: start from the run that it was made from")


def copy_layers(source: keras.Model, network: keras.Model, name: str) -> None:
    """Copies the weights of every layer of `source` that the network has. Prints which layers only one of them has.

    Raises:
      UserError: the networks differ by more than heads of numbers (tasks.base.Vector) and the regressor's "joint_attention".
    """
    theirs, mine = (dict(_weighted_layers(model)) for model in (source, network))
    added, dropped = ([key for key in one if key not in other] for one, other in ((mine, theirs), (theirs, mine)))
    for key in (*added, *dropped):
        if not re.fullmatch(_MAY_DIFFER, key):
            raise UserError(
                f"{name} holds another network: {'it lacks' if key in mine else 'only it has'} the layer {key}"
            )
    shared = [key for key in mine if key in theirs]
    for key in shared:
        shapes = [[tuple(weight.shape) for weight in layer.weights] for layer in (theirs[key], mine[key])]
        if shapes[0] != shapes[1]:
            raise UserError(f"{name} holds another network: {key} has weights {shapes[0]}, expected {shapes[1]}")
    for key in shared:
        mine[key].set_weights(theirs[key].get_weights())
    if added:
        print(f"the network starts from {name}, {', '.join(added)} from initial weights")
    if dropped:
        print(f"the network starts from {name} without its {', '.join(dropped)}")


def _weighted_layers(model, above=""):
    """Yields (path, layer) for the layers with weights, also for those inside of models that are layers ("MODEL/LAYER")."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _weighted_layers(layer, f"{above}{layer.name}/")
        elif layer.weights:
            yield f"{above}{layer.name}", layer


def start_encoder(network: keras.Model, encoder: str, path: str) -> None:
    """Loads `train.encoder_weights`, and prints what starts from them.

    Args:
      network: with the encoder to initialise.
      encoder: its kind (`ModelConfig.encoder`).
      path: "imagenet", a weight file of the encoder's original, or (for "efficientnet_lite0") the folder of a run or of
        an exported SavedModel whose encoder is copied.

    Raises:
      UserError: the weights cannot be read or belong to another network.
    """
    has_stem = encoder == efficientnet.NAME
    if has_stem and Path(path).is_dir():
        efficientnet.copy_lite0(load_run(path).network, network)
    elif not _load_file(network, encoder, path):
        raise ConfigError("train.encoder_weights is of use with network.encoder resnet50 or efficientnet_lite0 alone")
    start, rest = _WITH_STEM if has_stem else _OWN_STEM
    print(f"{start} from {path}'s weights of {encoder}, {rest} from random ones")


def _load_file(network, encoder, path):
    try:
        return load_encoder(network, encoder, path)
    except UserError:
        raise  # it is a ValueError, and says enough
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"train.encoder_weights={path} gives no weights of {encoder}: {error}") from error
