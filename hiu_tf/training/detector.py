"""A training run of the detector, from its recipe to its weights. Calling it again resumes an interrupted run."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras as keras

from hiu_tf.atomic import clear_leftovers, written_whole
from hiu_tf.config.detection import DetectorConfig, DetectorRecipe
from hiu_tf.errors import ConfigError, UserError
from hiu_tf.losses.detection import detection_losses
from hiu_tf.models import efficientnet
from hiu_tf.models.detector import build_detector
from hiu_tf.runtime.backend import newest_version
from hiu_tf.runtime.card import read_card
from hiu_tf.training.checkpoints import RunState, SaveState
from hiu_tf.training.epochs import epochs_left
from hiu_tf.training.folder import RECIPE, WEIGHTS, is_exported, load_weights, save_weights
from hiu_tf.training.interruption import ended_when_asked
from hiu_tf.training.monitor import Progress
from hiu_tf.training.optimizer import build_optimizer, create_variables, take_average
from hiu_tf.training.parts import freeze
from hiu_tf.training.pretrained import start_weights

LOSSES = ("centre", "place", "size", "direction", "side")


class DetectorTrainer(keras.Model):
    """Trains a detector on batches (image, targets of `centres.encode`).

    Args:
      network: from `build_detector`.
      weights: {loss: weight} of the losses in losses/detection.py; the default is 1.
      clip_norm: maximum norm of the gradient.
    """

    def __init__(self, network: keras.Model, weights: dict[str, float], clip_norm: float):
        super().__init__(name="detector_trainer")
        unknown = sorted(set(weights) - set(LOSSES))
        if unknown:
            raise ConfigError(f"loss: there is no {', '.join(unknown)}, only {', '.join(LOSSES)}")
        self.network, self.clip_norm = network, clip_norm
        self.loss_weights = {name: weights.get(name, 1.0) for name in LOSSES}
        self.means = {name: keras.metrics.Mean(name) for name in ("loss", *LOSSES)}

    @property
    def metrics(self):
        """Metrics that Keras resets at the start of an epoch."""
        return list(self.means.values())

    def call(self, image, training=False):
        """The network's maps."""
        return self.network(image, training=training)

    @tf.autograph.experimental.do_not_convert
    def train_step(self, data):
        """One step of gradient descent."""
        image, targets = data
        with tf.GradientTape() as tape:
            losses = detection_losses(targets, self.network(image, training=True))
            total = tf.add_n([self.loss_weights[name] * value for name, value in losses.items()])
        variables = self.network.trainable_variables
        gradients, _ = tf.clip_by_global_norm(tape.gradient(total, variables), self.clip_norm)
        self.optimizer.apply_gradients(zip(gradients, variables))
        for name, value in {"loss": total, **losses}.items():
            self.means[name].update_state(value)
        return {name: mean.result() for name, mean in self.means.items()}


def train_detector(recipe: DetectorRecipe, data: Callable[[int], tf.data.Dataset], folder: Path) -> keras.Model:
    """Trains the recipe's detector, or resumes an interrupted run in this folder.

    Args:
      recipe: the recipe.
      data: number of the first step -> endless batches from there on.
      folder: of the run.

    Raises:
      UserError: the training diverged, the initial weights do not fit, or the folder holds a run of another network.
      Interrupted: Ctrl-C or SIGTERM ended it; its last step is saved.
    """
    settings = recipe.train
    if (folder / RECIPE).is_file() and (before := _config_of_run(folder)) != recipe.network:
        raise UserError(f"{folder} holds a run of another network, {before}: use another folder")
    keras.utils.set_random_seed(settings.seed)
    network = build_detector(recipe.network)
    freeze(network, settings.freeze)
    trainer = DetectorTrainer(network, recipe.loss, settings.clip_norm)
    trainer.compile(build_optimizer(settings))
    state = RunState(trainer, folder, folder)
    if not state.restore():
        start_weights(network, efficientnet.NAME, settings, lambda path: load_detector(path)[0])
    if state.step >= settings.steps and (folder / WEIGHTS).is_file():  # finished: averaging again would change it
        load_weights(network, folder)
        return network
    folder.mkdir(parents=True, exist_ok=True)
    clear_leftovers(folder)
    with written_whole(folder / RECIPE) as scratch:
        scratch.write_text(json.dumps(asdict(recipe), indent=1))
    (folder / WEIGHTS).unlink(missing_ok=True)
    create_variables(trainer.optimizer, network.trainable_variables)
    for epochs, steps in epochs_left(state.step, settings):
        with ended_when_asked(state, settings.steps) as end_when_asked:
            progress = Progress(state.step, settings.steps, settings.batch_size)
            trainer.fit(
                data(state.step),
                initial_epoch=epochs.start,
                epochs=epochs.stop,
                steps_per_epoch=steps,
                callbacks=[SaveState(state), progress, end_when_asked],
                verbose=0,
            )
    if not all(np.all(np.isfinite(weight)) for weight in network.get_weights()):
        raise UserError(f"the training in {folder} diverged: lower train.learning_rate")
    take_average(trainer.optimizer, network.trainable_variables)
    save_weights(network, folder)
    return network


def load_detector(folder: Path, image_size: int | None = None) -> tuple[keras.Model, DetectorConfig]:
    """Loads the network of a finished run or an exported SavedModel, and its settings.

    Args:
      folder: of the run or the SavedModel.
      image_size: overrides the side of the input squares.

    Raises:
      UserError: the folder is neither.
    """
    exported = is_exported(folder) and not (folder / RECIPE).is_file()
    config = _config_of_card(folder) if exported else _config_of_run(folder)
    config = replace(config, image_size=image_size) if image_size else config
    network = build_detector(config)
    load_weights(network, folder)
    return network, config


def _config_of_run(folder):
    try:
        return DetectorConfig(**json.loads((folder / RECIPE).read_text())["network"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder} is no finished run of a detector: {error!r}") from error


def _config_of_card(folder):
    card = read_card(newest_version(folder), kind="detector")
    try:
        return DetectorConfig(**card.get("network", {}) | {"image_size": card["image_size"]})
    except (TypeError, ConfigError) as error:
        raise UserError(f"{folder}: the card tells no network of a detector: {error}") from error
