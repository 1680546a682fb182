import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from hiu_tf.config.presets import model_config
from hiu_tf.config.schema import DataConfig, LossConfig, Recipe, TrainConfig
from hiu_tf.errors import UserError
from hiu_tf.losses.self_supervised import RENDERED
from hiu_tf.models.hiu import build_hiu
from hiu_tf.training.optimizer import build_optimizer
from hiu_tf.training.run import RECIPE, WEIGHTS, load_run, train
from hiu_tf.training.trainer import HIUTrainer
from pipelines.build import training_data


def recipe(steps, **loss):
    return Recipe(
        model="tiny",
        data={"synthetic": DataConfig(path="synthetic")},
        loss=LossConfig(joints_3d=10.0, ssl_warmup_steps=2, **loss),
        train=TrainConfig(steps=steps, steps_per_epoch=2, batch_size=4, shuffle=4),
    )


def losses(folder):
    lines = (folder / "log.csv").read_text().splitlines()
    column = lines[0].split(",").index("loss")
    return [float(line.split(",")[column]) for line in lines[1:]]


def test_train_resume_and_load(rendered_records, hand, tmp_path):
    def data(start):
        return training_data(recipe(6), rendered_records, 64, start)

    train(recipe(4), data, tmp_path, verbose=0)
    assert len(losses(tmp_path)) == 2
    network = train(recipe(6), data, tmp_path, verbose=0).network
    assert len(losses(tmp_path)) == 3, "the second call goes on where the first stopped"
    assert np.isfinite(losses(tmp_path)).all()
    again, preset, config, _ = load_run(tmp_path)
    assert (preset, config) == ("tiny", model_config("tiny"))
    image = tf.random.stateless_uniform([1, 64, 64, 3], [1, 2])
    np.testing.assert_allclose(again(image)[-1]["pose"], network(image)[-1]["pose"], atol=1e-6)
    assert list((tmp_path / "tensorboard").rglob("events*"))
    assert json.loads((tmp_path / RECIPE).read_text())["train"]["steps"] == 6
    assert not list(tmp_path.glob("partial-*"))


def test_a_run_of_another_network_is_left_alone(rendered_records, tmp_path):
    (tmp_path / RECIPE).write_text(json.dumps({"model": "hiu_small", "hand": "procedural"}))
    with pytest.raises(UserError, match="holds a run with model hiu_small, not tiny"):
        train(recipe(2), lambda _: training_data(recipe(2), rendered_records, 64), tmp_path, verbose=0)
    assert json.loads((tmp_path / RECIPE).read_text())["model"] == "hiu_small"


def test_a_diverged_run_saves_no_weights(rendered_records, tmp_path):
    wild = dataclasses.replace(recipe(2), loss=LossConfig(mask=1e12, heatmaps=1e12, joints_3d=1e12))
    data = training_data(wild, rendered_records, 64).map(lambda image, targets: (image * np.nan, targets))
    with pytest.raises(UserError, match="diverged"):
        train(wild, lambda _: data, tmp_path, verbose=0)
    assert not (tmp_path / WEIGHTS).exists() and not list(tmp_path.glob("checkpoints/ckpt*"))


def test_a_run_can_start_from_the_weights_of_another(rendered_records, tmp_path):
    def data(start):
        return training_data(recipe(2), rendered_records, 64, start)

    first = train(recipe(2), data, tmp_path / "first", verbose=0).network.get_weights()
    still = dataclasses.replace(recipe(2).train, start_from=str(tmp_path / "first"), learning_rate=1e-12)
    second = train(dataclasses.replace(recipe(2), train=still), data, tmp_path / "second", verbose=0).network
    trained = {variable.name for variable in second.trainable_variables}
    for variable, before in zip(second.weights, first):
        if variable.name in trained:
            np.testing.assert_allclose(variable, before, atol=1e-6)
    nowhere = dataclasses.replace(recipe(2), train=dataclasses.replace(still, start_from=str(tmp_path)))
    with pytest.raises(UserError, match="does not hold the weights of this network"):
        train(nowhere, data, tmp_path / "third", verbose=0)


def test_unfinished_run_is_refused(tmp_path):
    with pytest.raises(UserError, match="no finished run"):
        load_run(tmp_path)


def test_rendering_under_mixed_precision(rendered_records, hand):
    """Convolutions in float16; hand, mask and losses in float32, and every gradient finite."""
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        network = build_hiu(model_config("tiny"))
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert "float16" in {layer.compute_dtype for layer in network.layers}
    trainer = HIUTrainer(network, hand, LossConfig(), clip_norm=10.0)
    image, targets = next(iter(training_data(recipe(1), rendered_records, 64)))
    with tf.GradientTape() as tape:
        stacks = trainer.predictions(image, training=True)
        values, total = trainer.compute_losses(targets, stacks)
    assert stacks[0][RENDERED].dtype == tf.float32
    assert all(np.isfinite(value) for value in values.values())
    gradients = tape.gradient(total, network.trainable_variables, unconnected_gradients="zero")
    clipped, _ = tf.clip_by_global_norm(gradients, 10.0)
    assert all(np.isfinite(gradient).all() for gradient in clipped)


def test_poly_schedule():
    config = TrainConfig(steps=100, learning_rate=1e-3)
    schedule = build_optimizer(config)._learning_rate
    for step in (0, 30, 99):
        assert float(schedule(step)) == pytest.approx(1e-3 * (1 - step / 100) ** 0.9, rel=1e-5)


REPLICAS = """
import sys, numpy as np
import hiu_tf, tensorflow as tf, tf_keras as keras
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * int(sys.argv[1]))
from hiu_tf.config.schema import LossConfig
from hiu_tf.config.presets import model_config
from hiu_tf.hand.procedural import procedural_hand
from hiu_tf.models.hiu import build_hiu
from hiu_tf.training.distribution import strategy
from hiu_tf.training.trainer import HIUTrainer
from pipelines.build import training_data
from tests.training.test_training import recipe

devices = strategy()
assert devices.num_replicas_in_sync == int(sys.argv[1])
data = training_data(recipe(1), sys.argv[2], 64).take(1).map(uneven := lambda x, y: (x, y | {"mask_weight": tf.constant([1.0, 0, 0, 0]), "joints_3d_weight": y["joints_3d_weight"] * [[1.0], [1], [0], [0]]}))
with devices.scope():
    keras.utils.set_random_seed(1)
    network = build_hiu(model_config("tiny"))
    for layer in network._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False  # its statistics are per replica
    trainer = HIUTrainer(network, procedural_hand(), LossConfig(joints_3d=10.0), 1e9)
    trainer.compile(keras.optimizers.SGD(1e-3))
    history = trainer.fit(data, verbose=0).history
weights = np.concatenate([w.numpy().ravel() for w in network.trainable_weights])
print(repr(history["loss"][0]), repr(history["gradient_norm"][0]), repr(float(np.abs(weights).sum())), repr(float(weights @ np.sin(np.arange(len(weights))))))
"""


def test_two_replicas_equal_one(rendered_records):
    """Uneven label weights: all masks and 3D labels lie in the first replica's half."""
    figures = []
    for replicas in ("1", "2"):
        command = [sys.executable, "-c", REPLICAS, replicas, str(rendered_records)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr[-2000:]
        figures.append([float(number) for number in result.stdout.split()])
    np.testing.assert_allclose(figures[0], figures[1], rtol=1e-4)
