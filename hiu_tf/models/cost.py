"""What a network costs: multiply-accumulates of its convolutions, counted from the graph."""

import tf_keras as keras
from tf_keras import layers


def macs(network: keras.Model) -> int:
    """Multiply-accumulates of all convolutions for one picture; a shared part counts once for each call."""
    total = 0
    for layer in network.layers:
        calls = len(layer.inbound_nodes) if isinstance(layer, keras.Model) else 1
        if isinstance(layer, keras.Model):
            total += calls * macs(layer)
        elif isinstance(layer, layers.Conv2D):
            _, height, width, channels = layer.output_shape
            rows, columns, depth, _ = layer.kernel.shape
            total += height * width * channels * rows * columns * depth
    return total
