"""A training run as a folder: recipe, checkpoints, logs, and in the end the network's weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tf_keras as keras

from hiu_tf.atomic import written_whole
from hiu_tf.config.presets import model_config
from hiu_tf.config.schema import ModelConfig, Recipe
from hiu_tf.errors import UserError
from hiu_tf.hand.model import HandModel
from hiu_tf.hand.procedural import hand_model
from hiu_tf.models.hiu import build_hiu
from hiu_tf.training.optimizer import build_optimizer
from hiu_tf.training.trainer import HIUTrainer

RECIPE, WEIGHTS, CHECKPOINTS = "recipe.json", "network.weights.h5", "checkpoints"


class Run(NamedTuple):
    """What a training run has made, and what is needed to use it."""

    network: keras.Model
    preset: str
    config: ModelConfig
    hand: HandModel


def train(
    recipe: Recipe,
    data: Callable[[int], tf.data.Dataset],
    folder: Path,
    verbose: int = 1,
    finish: Callable | None = None,
) -> Run:
    """Trains the recipe's network, or goes on where an earlier call in this folder stopped.

    Args:
      recipe: what to train, and how.
      data: number of the first step -> batches (image, targets) from there on, endless.
      folder: of the run.
      verbose: of Keras' fit.
      finish: makes image and targets of a batch on the device, where `data` leaves that to it.

    Must be called inside the scope of a distribution strategy. The first weights follow from train.seed.
    """
    hand = hand_model(recipe.hand)
    _write_recipe(recipe, folder)
    keras.utils.set_random_seed(recipe.train.seed)
    config = model_config(recipe.model, recipe.network)
    trainer = HIUTrainer(build_hiu(config), hand, recipe.loss, recipe.train.clip_norm, finish)
    trainer.compile(build_optimizer(recipe.train))
    trainer.optimizer.build(trainer.trainable_variables)
    checkpoint = tf.train.Checkpoint(network=trainer.network, optimizer=trainer.optimizer)
    manager = tf.train.CheckpointManager(checkpoint, str(folder / CHECKPOINTS), max_to_keep=2)
    if recipe.train.start_from and not manager.latest_checkpoint:
        _load_weights(trainer.network, Path(recipe.train.start_from))
    checkpoint.restore(manager.latest_checkpoint).expect_partial()
    steps = recipe.train.steps_per_epoch
    done = int(trainer.optimizer.iterations.numpy()) // steps
    trainer.fit(
        data(done * steps),
        initial_epoch=done,
        epochs=max(done, -(-recipe.train.steps // steps)),
        steps_per_epoch=min(steps, recipe.train.steps),
        callbacks=_callbacks(manager, folder),
        verbose=verbose,
    )
    _refuse_divergence(trainer, folder)
    if recipe.train.ema and trainer.optimizer.iterations.numpy() > 0:
        trainer.optimizer.finalize_variable_values(trainer.trainable_variables)
    save_weights(trainer.network, folder)
    return Run(trainer.network, recipe.model, config, hand)


def save_weights(network: keras.Model, folder: Path) -> None:
    """Writes the network's weights, whole or not at all."""
    with written_whole(folder / WEIGHTS) as scratch:
        network.save_weights(str(scratch))


def load_run(folder: str | Path) -> Run:
    """A finished run from its folder.

    Raises:
      UserError: the folder is no finished run.
    """
    recipe, weights = Path(folder) / RECIPE, Path(folder) / WEIGHTS
    if not recipe.is_file() or not weights.is_file():
        raise UserError(f"{folder} is no finished run: it lacks {RECIPE} or {WEIGHTS}")
    settings = _read_recipe(recipe)
    config = model_config(settings["model"], settings["network"])
    network = build_hiu(config)
    _load_weights(network, Path(folder))
    return Run(network, settings["model"], config, hand_model(settings["hand"]))


def _load_weights(network, folder):
    """The weights of a finished run, which must be of the same network."""
    path = folder / WEIGHTS
    try:
        network.load_weights(str(path))
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path} does not hold the weights of this network: {error}") from error


def _read_recipe(path):
    try:
        settings = json.loads(path.read_text())
        return {"network": {}} | settings | {"model": settings["model"], "hand": settings["hand"]}
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is no recipe of a run: {error!r}") from error


def _write_recipe(recipe, folder):
    """Refuses to go on in a folder whose weights are of another network or hand."""
    path, settings = folder / RECIPE, asdict(recipe)
    if path.exists():
        before = _read_recipe(path)
        for name in ("model", "network", "hand"):
            if before[name] != settings[name]:
                raise UserError(
                    f"{folder} holds a run with {name} {before[name]}, not {settings[name]}: use another folder"
                )
    folder.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as scratch:
        scratch.write_text(json.dumps(settings, indent=1))


def _refuse_divergence(trainer, folder):
    """Weights that are not finite are never saved; checkpoints of such an epoch are not either."""
    if not all(np.all(np.isfinite(weight)) for weight in trainer.network.get_weights()):
        raise UserError(
            f"the training in {folder} diverged: lower train.learning_rate or the loss weights. "
            "The last good checkpoint is kept; the same command goes on from there"
        )


def _callbacks(manager, folder):
    def save_if_finite(epoch, logs):
        if np.isfinite(logs["loss"]):
            manager.save(epoch + 1)

    save = keras.callbacks.LambdaCallback(on_epoch_end=save_if_finite)
    return [
        keras.callbacks.TerminateOnNaN(),
        save,
        keras.callbacks.TensorBoard(str(folder / "tensorboard"), update_freq=20, write_graph=False),
        keras.callbacks.CSVLogger(str(folder / "log.csv"), append=True),
    ]
