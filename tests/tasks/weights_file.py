"""Example of a new kind of exported file in docs/architecture.md: the weights as NumPy arrays."""

import numpy as np

from hiu_tf.config.presets import model_config
from hiu_tf.evaluation.predictors import network_predictor
from hiu_tf.exporting.parity import Limits
from hiu_tf.exporting.targets import Target
from hiu_tf.hand.procedural import procedural_hand
from hiu_tf.models.hiu import build_hiu


def write(module, folder, card, options):
    """Writes the variables of the network's last stack, in order."""
    del options
    path = folder / f"{card['name']}.npz"
    np.savez(path, *(variable.numpy() for variable in module.weights))
    return path


def read(path):
    """Builds a network with these weights and returns its predictor."""
    network = build_hiu(model_config(path.stem))
    with np.load(path) as arrays:
        network.set_weights(list(arrays.values()))
    return network_predictor(network, procedural_hand())


NPZ = Target(write, limits=Limits(0.05, 0.05, 0.001), open=read)
