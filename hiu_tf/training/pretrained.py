"""Initialises a network's encoder with weights that were trained before: ImageNet's, or another hand network's."""

from __future__ import annotations

from pathlib import Path

import tf_keras as keras

from hiu_tf.config.schema import ConfigError
from hiu_tf.errors import UserError
from hiu_tf.models import efficientnet
from hiu_tf.models.encoder import load_encoder
from hiu_tf.training.folder import load_run


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
    try:
        if encoder == efficientnet.NAME and Path(path).is_dir():
            count = efficientnet.copy_lite0(load_run(path).network, network)
        else:
            count = load_encoder(network, encoder, path)
    except UserError:
        raise
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"train.encoder_weights={path} gives no weights of {encoder}: {error}") from error
    if not count:
        raise ConfigError("train.encoder_weights is of use with network.encoder resnet50 or efficientnet_lite0 alone")
    rest = (
        "all else (stem, 1x1 into the encoder, decoders, attention, regressor)" if encoder == "resnet50" else "all else"
    )
    print(
        f"{'the encoder starts' if encoder == 'resnet50' else 'stem and encoder start'} from {path}'s weights of {encoder}, {rest} from random ones"
    )
