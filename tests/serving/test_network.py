"""A network on a server as the runtime sees it; the server's answers are made up."""

import types

import numpy as np
import pytest

from hiu_tf.conventions import keys
from hiu_tf.serving.client import ServingError
from hiu_tf.serving.network import _ARRAYS, ServedNetwork
from pipelines.store import encode_mask


@pytest.mark.parametrize("by_bytes", [True, False])
def test_the_probability_of_a_right_hand_comes_from_the_server_too(monkeypatch, by_bytes):
    """Of a network with the task "side", over gRPC and over REST; an older export may not tell it."""
    signature = "tensor_uint8" if by_bytes else "mesh"
    answers = {name: np.ones((2, *[5 if n is None else n for n in shape])) for name, shape in _ARRAYS.items()}
    answers |= {keys.RIGHT: np.array([0.2, 0.9]), keys.MASK: np.zeros((2, 8, 8)), "mask_png_bytes": [encode_mask(np.zeros((8, 8), bool))] * 2}  # fmt: skip
    client = types.SimpleNamespace(sends_bytes=by_bytes, predict=lambda *_, **__: answers)
    monkeypatch.setattr("hiu_tf.serving.network.connect", lambda *_: client)
    crops = np.zeros((2, 8, 8, 3))

    def network(tells):
        outputs = {keys.RIGHT: {}} if tells else {}
        return ServedNetwork("a:1", "hiu", {"camera": np.eye(3), "signatures": {signature: {"outputs": outputs}}})

    np.testing.assert_allclose(network(True)(crops)[keys.RIGHT], [0.2, 0.9])
    assert keys.RIGHT not in network(False)(crops)
    answers[keys.RIGHT] = np.ones((2, 3))
    with pytest.raises(ServingError, match="right should be numbers"):
        network(True)(crops)
