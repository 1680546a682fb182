"""The parts of a network: what is frozen, and whose gradients are whose."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from hiu_tf.config.presets import model_config
from hiu_tf.errors import ConfigError
from hiu_tf.models.hiu import build_hiu
from hiu_tf.training.parts import PartNorms, freeze


def test_frozen_parts_have_nothing_to_train():
    network = build_hiu(model_config("tiny"))
    everything = len(network.trainable_variables)
    with pytest.raises(ConfigError, match="no part 'image'; its parts are stem, "):
        freeze(network, ("image",))
    freeze(network, ("stem", "mask"))
    assert 0 < len(network.trainable_variables) < everything
    for layer in network.layers:
        assert layer.trainable != layer.name.startswith(("stem", "stack1_mask")), layer.name


def test_frozen_batch_norm_normalises_in_training_as_in_prediction(rng):
    """Whatever else is in the batch; all other weights learn."""
    network = build_hiu(model_config("tiny", {"regressor_extra": ["encoder", "joints", "joint_attention"]}))
    norms = [layer for layer in network.submodules if isinstance(layer, keras.layers.BatchNormalization)]
    for layer in norms:
        layer.moving_mean.assign(rng.normal(size=layer.moving_mean.shape))
    freeze(network, ("batch_norm",))
    image = tf.constant(rng.uniform(size=(3, 64, 64, 3)), tf.float32)
    before = [weight.numpy() for weight in network.non_trainable_weights]
    for key, value in network(image, training=True)[-1].items():
        np.testing.assert_allclose(value, network(image)[-1][key], atol=1e-5, err_msg=key)
    for old, new in zip(before, network.non_trainable_weights, strict=True):
        np.testing.assert_array_equal(new, old)
    assert len(network.trainable_weights) == len(network.weights) - 4 * len(norms)


def test_the_variables_of_a_nested_encoder_belong_to_its_stack():
    """Keras names those of ResNet-50's body without the stack."""
    network = build_hiu(model_config("tiny", {"encoder": "resnet50", "stacks": 2, "regressor": "per_stack"}))
    parts = {"encoder", "heatmaps", "mask", "pof", "attention", "regressor"}
    assert set(PartNorms(network).names) == {"stem", *(f"stack{k}_{part}" for k in (1, 2) for part in parts)}
