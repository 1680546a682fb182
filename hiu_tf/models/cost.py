"""Parameters, MACs and memory of a network, counted from its graph."""

from collections import Counter

import numpy as np
import tensorflow as tf
import tf_keras as keras
from tf_keras import layers

from hiu_tf.config.preset_costs import Cost
from hiu_tf.config.schema import ModelConfig
from hiu_tf.models.hiu import build_hiu, inference_network
from hiu_tf.tasks import find_tasks

_FLOAT_BYTES = 4


def network_cost(config: ModelConfig) -> Cost:
    """Builds the network and counts its cost."""
    network = build_hiu(config)
    needed = inference_network(network, find_tasks(config.tasks))
    return Cost(
        parameters=network.count_params(),
        macs=macs(network),
        inference_parameters=needed.count_params(),
        inference_macs=macs(needed),
        activations_mb=activation_bytes(network) / 1e6,
    )


def macs(network: keras.Model) -> int:
    """MACs (multiply-accumulates) of all convolutions for one picture. A shared part counts once per call."""
    return sum(
        calls * (macs(part) if isinstance(part, keras.Model) else _macs(part)) for part, calls in _calls(network)
    )


def activation_bytes(network: keras.Model) -> int:
    """Bytes of every layer's output for one picture in float32."""
    return sum(
        calls * (activation_bytes(part) if isinstance(part, keras.Model) else _output_bytes(part))
        for part, calls in _calls(network)
    )


def _calls(network):
    """Each layer and its number of calls in this network. Calls of a shared layer by other networks do not count."""
    counts = Counter(key.rpartition("_ib-")[0] for key in network._network_nodes)
    return [(layer, counts[layer.name]) for layer in network.layers]


def _macs(layer):
    if isinstance(layer, layers.DepthwiseConv2D):
        return int(np.prod(layer.output_shape[1:])) * int(np.prod(layer.kernel_size))
    if isinstance(layer, layers.Conv2D):
        return int(np.prod(layer.output_shape[1:])) * int(np.prod(layer.kernel.shape[:3]))
    return 0


def _output_bytes(layer):
    outputs = tf.nest.flatten(layer.get_output_at(0))
    return _FLOAT_BYTES * sum(int(np.prod(output.shape[1:])) for output in outputs)
