"""Networks that start from another one's weights."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from hiu_tf.config.presets import PRESETS, model_config
from hiu_tf.config.schema import TrainConfig
from hiu_tf.errors import ConfigError, UserError
from hiu_tf.exporting.run import export
from hiu_tf.models.hiu import build_hiu
from hiu_tf.training.folder import Run, load_run
from hiu_tf.training.pretrained import copy_layers, start_encoder, start_weights
from tests.places import SHIPPED


@pytest.mark.long
def test_the_smaller_network_starts_from_the_encoder_that_ships(capsys):
    """Every layer of its stem and encoder has the shipped weights, nothing else is changed."""
    network, source = build_hiu(model_config("hiu_edge")), load_run(SHIPPED).network
    others = [layer for layer in network.layers if "_lite0_" not in layer.name]
    before = [layer.get_weights() for layer in others]
    start_encoder(network, "efficientnet_lite0", str(SHIPPED))
    assert "savedmodels/hiu_mobile's weights of efficientnet_lite0" in capsys.readouterr().out
    own = [layer for layer in network.layers if "_lite0_" in layer.name and layer.weights]
    assert len(own) > 60
    for layer in own:
        for mine, theirs in zip(layer.get_weights(), source.get_layer(layer.name).get_weights()):
            np.testing.assert_array_equal(mine, theirs)
    for layer, weights in zip(others, before):
        for mine, old in zip(layer.get_weights(), weights):
            np.testing.assert_array_equal(mine, old)


@pytest.mark.long
def test_a_model_is_trained_on_although_its_preset_has_changed(tmp_path, hand, monkeypatch):
    """The card has all settings of the network; the smaller model that ships has them, too."""
    config = model_config("tiny", {"feature_channels": 16})
    keras.utils.set_random_seed(4)
    run = Run(build_hiu(config), "tiny", config, hand)
    export(run, tmp_path, targets=[])
    monkeypatch.setitem(PRESETS, "tiny", replace(PRESETS["tiny"], decoder_convolutions=2, stem_channels=(4, 8)))
    found = load_run(tmp_path)
    assert found.config == config
    image = tf.random.stateless_uniform([1, 64, 64, 3], [1, 2])
    np.testing.assert_allclose(found.network(image)[-1]["pose"], run.network(image)[-1]["pose"], atol=1e-6)
    assert load_run(SHIPPED.parent / "hiu_edge").preset == "hiu_edge"


def test_an_export_has_the_heads_of_the_last_stack_alone(exported_once):
    """A network of two stacks cannot start from it: the heads of the first would stay random."""
    network = build_hiu(model_config("tiny", {"stacks": 2}))
    settings = TrainConfig(start_from=str(exported_once))
    with pytest.raises(UserError, match="has the last of 2 stacks alone"):
        start_weights(network, "hiu", settings, lambda folder: load_run(folder).network)


def test_a_card_names_no_module_to_import(exported_once, tmp_path):
    """Neither among its tasks nor among the settings of its network."""
    copy = shutil.copytree(exported_once, tmp_path / "copy")
    path = copy / "1" / "assets.extra" / "model.json"
    card = json.loads(path.read_text())
    card["network"]["tasks"] = [*card["tasks"], "evil_module:TASK"]
    path.write_text(json.dumps(card))
    with pytest.raises(UserError, match="has the task evil_module:TASK, which is not of this package"):
        load_run(copy)


@pytest.mark.long
def test_weights_of_another_encoder_are_refused(tmp_path):
    network = build_hiu(model_config("tiny"))
    with pytest.raises(ConfigError, match="of use with network.encoder resnet50 or efficientnet_lite0 alone"):
        start_encoder(network, "hiu", str(SHIPPED))
    with pytest.raises(UserError, match="is no finished run"):
        start_encoder(build_hiu(model_config("hiu_edge")), "efficientnet_lite0", str(tmp_path))


@pytest.mark.long
def test_a_network_starts_from_one_without_its_new_head(capsys):
    """All shared layers are copied, and the head that is new is named; one head less is fine, too."""
    paper = ["heatmaps", "mask", "pof", "hand"]
    source, network = (build_hiu(model_config("tiny", {"tasks": tasks})) for tasks in (paper, [*paper, "side"]))
    copy_layers(source, network, "runs/first")
    assert "starts from runs/first, stack1_side_predict from initial weights" in capsys.readouterr().out
    for layer in source.layers:
        for theirs, mine in zip(layer.get_weights(), network.get_layer(layer.name).get_weights()):
            np.testing.assert_array_equal(mine, theirs)
    smaller = build_hiu(model_config("tiny", {"tasks": paper}))
    copy_layers(network, smaller, "runs/second")
    assert capsys.readouterr().out == "the network starts from runs/second without its stack1_side_predict\n"
    for mine, theirs in zip(smaller.get_weights(), source.get_weights()):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.long
def test_a_network_starts_from_one_whose_regressor_does_not_attend_over_the_joints(capsys, rng):
    """It predicts the same at first, and the new layers learn."""
    settings = {"regressor_extra": ["encoder", "joints"]}
    source = build_hiu(model_config("tiny", settings))
    network = build_hiu(model_config("tiny", {"regressor_extra": ["encoder", "joints", "joint_attention"]}))
    copy_layers(source, network, "runs/first")
    assert "regressor/regressor_joint_attention_mix from initial weights" in capsys.readouterr().out
    image = tf.constant(rng.uniform(size=(2, 64, 64, 3)), tf.float32)
    for key, value in source(image)[-1].items():
        np.testing.assert_allclose(network(image)[-1][key], value, atol=1e-6, err_msg=key)
    added = network.get_layer("regressor").get_layer("regressor_joint_attention_mix").kernel
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(network(image, training=True)[-1]["pose"])
    assert np.abs(tape.gradient(total, added)).max() > 0


@pytest.mark.long
def test_every_stack_starts_from_its_own_regressor(rng):
    settings = {"stacks": 2, "regressor": "per_stack"}
    paper = ["heatmaps", "mask", "pof", "hand"]
    source = build_hiu(model_config("tiny", settings | {"tasks": paper}))
    network = build_hiu(model_config("tiny", settings | {"tasks": [*paper, "side"]}))
    copy_layers(source, network, "runs/first")
    image = tf.constant(rng.uniform(size=(1, 64, 64, 3)), tf.float32)
    for theirs, mine in zip(source(image), network(image)):
        np.testing.assert_allclose(mine["pose"], theirs["pose"], atol=1e-6)


@pytest.mark.long
@pytest.mark.parametrize("other", [{"feature_channels": 16}, {"tasks": ["heatmaps", "mask", "hand", "side"]}])
def test_another_network_is_refused_and_nothing_copied(other):
    source, network = build_hiu(model_config("tiny", other)), build_hiu(model_config("tiny"))
    before = network.get_weights()
    with pytest.raises(UserError, match="runs/first holds another network"):
        copy_layers(source, network, "runs/first")
    for mine, old in zip(network.get_weights(), before):
        np.testing.assert_array_equal(mine, old)
