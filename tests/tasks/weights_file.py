"""A kind of file of one's own: the weights as NumPy arrays. The example of docs/architecture.md."""

import numpy as np

from hiu_tf.config.presets import model_config
from hiu_tf.evaluation.predictors import network_predictor
from hiu_tf.exporting.targets import Target
from hiu_tf.hand.procedural import procedural_hand
from hiu_tf.models.hiu import build_hiu


def write(module, folder, card, options):
    """The variables of the network's last stack, in order."""
    del options
    path = folder / f"{card['name']}.npz"
    np.savez(path, *(variable.numpy() for variable in module.weights))
    return path


def read(path):
    """The network with these weights."""
    network = build_hiu(model_config(path.stem))
    with np.load(path) as arrays:
        network.set_weights(list(arrays.values()))
    return network_predictor(network, procedural_hand())


NPZ = Target(write, limits=(0.05, 0.05), open=read)
