"""A network on a server as the runtime sees it; the server's answers are made up."""

import types

import numpy as np
import pytest

from hiu_tf.conventions import keys
from hiu_tf.serving.client import ServingError
from hiu_tf.serving.network import _ARRAYS, ServedNetwork


def test_the_probability_of_a_right_hand_comes_from_the_server_too(monkeypatch):
    """Of a network with the task "side", over gRPC."""
    answers = {name: np.ones((2, *[5 if n is None else n for n in shape])) for name, shape in _ARRAYS.items()}
    answers |= {keys.RIGHT: np.array([0.2, 0.9]), keys.MASK: np.zeros((2, 8, 8))}
    client = types.SimpleNamespace(sends_bytes=True, predict=lambda *_, **__: answers)
    monkeypatch.setattr("hiu_tf.serving.network.connect", lambda *_: client)
    for outputs, expected in (({keys.RIGHT: ""}, [0.2, 0.9]), ({}, None)):
        network = ServedNetwork("grpc://a:1", "hiu", {"camera": np.eye(3), "outputs": outputs})
        found = network(np.zeros((2, 8, 8, 3))).get(keys.RIGHT)
        assert (found is None) == (expected is None)
        if expected:
            np.testing.assert_allclose(found, expected)
    answers[keys.RIGHT] = np.ones((2, 3))
    with pytest.raises(ServingError, match="right should be numbers"):
        ServedNetwork("grpc://a:1", "hiu", {"camera": np.eye(3), "outputs": {keys.RIGHT: ""}})(np.zeros((2, 8, 8, 3)))
