"""A training run as a folder: recipe, checkpoints, logs, and in the end the network's weights."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import tensorflow as tf
import tf_keras as keras

from hiu_tf.atomic import written_whole
from hiu_tf.config.presets import model_config
from hiu_tf.config.schema import Recipe
from hiu_tf.errors import UserError
from hiu_tf.hand.model import HandModel
from hiu_tf.models.hiu import build_hiu
from hiu_tf.training.optimizer import build_optimizer
from hiu_tf.training.trainer import HIUTrainer

RECIPE, WEIGHTS, CHECKPOINTS = "recipe.json", "network.weights.h5", "checkpoints"


def train(recipe: Recipe, data: tf.data.Dataset, hand: HandModel, folder: Path, verbose: int = 1) -> keras.Model:
    """Trains the recipe's network, or goes on where an earlier call in this folder stopped.

    Must be called inside the scope of a distribution strategy. Returns the trained network.
    """
    trainer = HIUTrainer(build_hiu(model_config(recipe.model)), hand, recipe.loss, recipe.train.clip_norm)
    trainer.compile(build_optimizer(recipe.train))
    trainer.optimizer.build(trainer.trainable_variables)
    _write_recipe(recipe, folder)
    checkpoint = tf.train.Checkpoint(network=trainer.network, optimizer=trainer.optimizer)
    manager = tf.train.CheckpointManager(checkpoint, str(folder / CHECKPOINTS), max_to_keep=2)
    checkpoint.restore(manager.latest_checkpoint).expect_partial()
    steps = recipe.train.steps_per_epoch
    done = int(trainer.optimizer.iterations.numpy()) // steps
    trainer.fit(
        data,
        initial_epoch=done,
        epochs=max(done, -(-recipe.train.steps // steps)),
        steps_per_epoch=min(steps, recipe.train.steps),
        callbacks=_callbacks(manager, folder),
        verbose=verbose,
    )
    if recipe.train.ema and trainer.optimizer.iterations.numpy() > 0:
        trainer.optimizer.finalize_variable_values(trainer.trainable_variables)
    save_weights(trainer.network, folder)
    return trainer.network


def save_weights(network: keras.Model, folder: Path) -> None:
    """Writes the network's weights, whole or not at all."""
    with written_whole(folder / WEIGHTS) as scratch:
        network.save_weights(str(scratch))


def load_network(folder: str | Path) -> tuple[keras.Model, str]:
    """The trained network of a run and the name of its preset.

    Raises:
      UserError: the folder is no finished run.
    """
    recipe, weights = Path(folder) / RECIPE, Path(folder) / WEIGHTS
    if not recipe.is_file() or not weights.is_file():
        raise UserError(f"{folder} is no finished run: it lacks {RECIPE} or {WEIGHTS}")
    preset = json.loads(recipe.read_text())["model"]
    network = build_hiu(model_config(preset))
    network.load_weights(str(weights))
    return network, preset


def _write_recipe(recipe, folder):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RECIPE).write_text(json.dumps(asdict(recipe), indent=1))


def _callbacks(manager, folder):
    save = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: manager.save(epoch + 1))
    return [
        keras.callbacks.TerminateOnNaN(),
        save,
        keras.callbacks.TensorBoard(str(folder / "tensorboard"), update_freq=20, write_graph=False),
        keras.callbacks.CSVLogger(str(folder / "log.csv"), append=True),
    ]
