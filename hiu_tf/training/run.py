"""A training run from its recipe to the network's weights. Calling it again resumes an interrupted run."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras as keras

from hiu_tf.atomic import clear_leftovers
from hiu_tf.config.presets import model_config
from hiu_tf.config.schema import Recipe
from hiu_tf.errors import ConfigError, UserError
from hiu_tf.hand.load import load_hand
from hiu_tf.html import Page
from hiu_tf.models.hiu import build_hiu
from hiu_tf.tasks import find_tasks
from hiu_tf.training.bad_batch import FOLDER as BAD_BATCHES
from hiu_tf.training.bad_batch import report_bad_batch, where_it_began
from hiu_tf.training.checkpoints import RunState, SaveState
from hiu_tf.training.distribution import distributed, worker
from hiu_tf.training.epochs import epochs_left, validated_epochs
from hiu_tf.training.folder import WEIGHTS, Run, changed_settings, load_run, load_weights, save_weights, write_recipe
from hiu_tf.training.interruption import ended_when_asked
from hiu_tf.training.journal import Journal, note_start
from hiu_tf.training.monitor import EpochRecord, Progress
from hiu_tf.training.optimizer import build_optimizer, create_variables, take_average
from hiu_tf.training.parts import freeze
from hiu_tf.training.pretrained import start_weights
from hiu_tf.training.report import write_report
from hiu_tf.training.schedules import learning_rate
from hiu_tf.training.sheet import prediction_sheet
from hiu_tf.training.trainer import HIUTrainer
from hiu_tf.training.validation import KeepBest, ValidateAverage, forget_other_best

BOARD = "tensorboard"
_SHOWN = 6  # pictures on the sheet of predictions


def train(
    recipe: Recipe,
    data: Callable[[int, int, int], tf.data.Dataset],
    folder: Path,
    verbose: bool = True,
    finish: Callable | None = None,
    validation: tf.data.Dataset | None = None,
    results: Callable[[Page, Run], None] | None = None,
) -> Run:
    """Trains the recipe's network, or resumes an interrupted run in this folder.

    Args:
      recipe: the recipe.
      data: (number of the first step, index of this worker, number of workers) -> endless batches from there on.
      folder: of the run.
      verbose: whether to show progress.
      finish: computes image and targets of a batch on the device; None if `data` already yields them.
      validation: batches (image, targets) of one pass, evaluated as recipe.train specifies.
      results: measures the trained network and appends to the run's report.

    Call it inside the scope of a distribution strategy. The initial weights depend on train.seed.

    Raises:
      UserError: the folder contains another run, the training diverged, or the batch cannot be divided among devices.
      Interrupted: Ctrl-C or SIGTERM ended it; its last step is saved.
    """
    settings, (number, workers) = recipe.train, worker()
    hand = load_hand(recipe.hand)
    # Reading some values needs all workers. So all run the same code; only the first worker's files are kept.
    own = folder if number == 0 else Path(tempfile.mkdtemp(prefix="hiu_worker"))
    changed = changed_settings(recipe, own)
    trainer = _trainer(recipe, hand, own, finish)
    state = RunState(trainer, folder, own)
    run = Run(trainer.network, recipe.model, model_config(recipe.model, recipe.network), hand)
    if not state.restore():
        _start(trainer.network, recipe)
    start = state.step
    if start >= settings.steps and (folder / WEIGHTS).is_file():  # finished: averaging again would change it
        load_weights(trainer.network, folder)
        _throw_away(own, folder)
        if changed:
            print(f"{folder} is finished; these settings were not used: {', '.join(changed)}")
        return run
    if changed:
        print(f"{folder} goes on with other settings than before: {', '.join(changed)}")
    _open_folder(own, recipe, start)
    if settings.validate:
        forget_other_best(state, settings.best, settings.validate, folder)
    shown = _pictures(data(0, number, workers), trainer.finish)
    callbacks = partial(_callbacks, recipe, state, own, shown, verbose and number == 0)
    _fit(trainer, state, data, validation, settings, callbacks)
    if take_average(trainer.optimizer, trainer.trainable_variables):
        _recalibrate(trainer, data(0, number, workers), settings.recalibrate)
    save_weights(trainer.network, own)  # the weights mark the run as finished
    _try_report(own, run, shown, partial(results, run=run) if results and number == 0 else None)
    _throw_away(own, folder)
    return run


def rehearse(recipe: Recipe) -> None:
    """Raises what `train` would raise before its first step, but for what is wrong with its folder and data."""
    _start(_trainer(recipe, load_hand(recipe.hand), Path(), None).network, recipe)


def _open_folder(folder, recipe, start):
    """Prepares the folder of a run that begins or goes on at step `start`."""
    write_recipe(recipe, folder)
    clear_leftovers(folder)
    note_start(folder, start)
    (folder / WEIGHTS).unlink(missing_ok=True)  # old weights must not become the result after a kill


def _fit(trainer, state, data, validation, settings, callbacks):
    """Trains the remaining steps."""
    create_variables(trainer.optimizer, trainer.trainable_variables)
    left = epochs_left(state.step, settings)
    for epochs, steps in left:
        with ended_when_asked(state, settings.steps) as end_when_asked:
            trainer.fit(
                distributed(partial(data, state.step), settings.batch_size),
                initial_epoch=epochs.start,
                epochs=epochs.stop,
                steps_per_epoch=steps,
                validation_data=validation,
                validation_freq=validated_epochs(left, settings.validate_every),
                callbacks=[*callbacks(), end_when_asked],
                verbose=0,
            )
        _refuse_divergence(trainer, state.folder.parent)


def _try_report(folder, run, shown, results):
    """Writes the report. An error in it is printed, but does not fail the finished run."""
    try:
        write_report(folder, prediction_sheet(run.network, run.hand, shown, run.tasks), results)
    except Exception as error:
        print(f"the run is finished, its report could not be written: {error!r}", file=sys.stderr)


def _throw_away(own, folder):
    """Removes the temporary folder of a worker other than the first."""
    if own != folder:
        shutil.rmtree(own)


def _trainer(recipe, hand, folder, finish):
    """Makes the compiled trainer with random weights.

    Raises:
      ConfigError: the settings do not fit the devices or the network.
    """
    settings = recipe.train
    _check_shares(settings)
    keras.utils.set_random_seed(settings.seed)
    with precision_policy(settings.precision):
        config = model_config(recipe.model, recipe.network)
        network = build_hiu(config)
    freeze(network, settings.freeze)
    sets = tuple(recipe.data)
    report = partial(report_bad_batch, folder, sets)
    trainer = HIUTrainer(network, hand, recipe.loss, settings, sets, finish, report, find_tasks(config.tasks))
    _check_best(settings, ["loss", *(metric.name for metric in trainer.quality)])
    trainer.compile(build_optimizer(settings), steps_per_execution=settings.steps_per_execution)
    return trainer


def _start(network, recipe):
    """Loads the weights that the recipe names."""
    encoder = model_config(recipe.model, recipe.network).encoder
    start_weights(network, encoder, recipe.train, lambda path: load_run(path).network)


def _check_shares(settings):
    """Raises ConfigError unless every part of the batch divides equally among all devices."""
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    if settings.batch_size % (replicas * settings.accumulate):
        raise ConfigError(
            f"train.batch_size {settings.batch_size} cannot be shared by {replicas} device(s) in "
            f"{settings.accumulate} part(s): it must be a multiple of {replicas * settings.accumulate}"
        )


def _check_best(settings, known):
    """Raises ConfigError if the tasks of the network have no metric train.best, whose best weights would be kept."""
    if settings.validate and settings.best not in known:
        raise ConfigError(
            f"train.best {settings.best} is no metric of this network's tasks, which have {', '.join(known)}"
        )


@contextmanager
def precision_policy(policy: str):
    """Sets the precision policy for layers created inside the block."""
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(policy)
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(before)


def _pictures(data, finish):
    """The first pictures [N, S, S, 3] of the data, as the network gets them."""
    image, _ = finish(next(iter(data.take(1))))
    return image[:_SHOWN].numpy()


def _recalibrate(trainer, data, batches):
    """Recomputes batch norm statistics for averaged weights; the existing ones belong to the raw weights."""

    @tf.function(autograph=False)
    def look(batch):
        image, _ = trainer.finish(batch)
        trainer.distribute_strategy.run(lambda: trainer.network(image, training=True))

    for batch in data.take(batches):
        look(batch)


def _refuse_divergence(trainer, folder):
    """Raises UserError if the training diverged, so that weights that are not finite are never saved."""
    is_finite = all(np.all(np.isfinite(weight)) for weight in trainer.network.get_weights())
    if trainer.stop_training or not is_finite:
        raise UserError(
            f"the training in {folder} diverged{where_it_began(folder)}: lower train.learning_rate or the loss weights, "
            f"give train.warmup_steps, or skip such steps (train.on_nan=skip). {folder / BAD_BATCHES} shows the batch. The last good checkpoint is kept; the same "
            "command goes on from there"
        )


def _callbacks(recipe, state, folder, shown, verbose):
    """Callbacks in their order of execution: after an epoch the record is written before its checkpoint."""
    settings = recipe.train
    board = tf.summary.create_file_writer(str(folder / BOARD))
    journal, rate = Journal(folder, state.step), learning_rate(settings)
    found = [EpochRecord(rate, settings.batch_size, journal, board, shown)]
    if settings.validate:
        found += [ValidateAverage(), KeepBest(state, settings.best, settings.validate, folder)]
    found += [SaveState(state)]
    if settings.on_nan == "stop":
        found.append(keras.callbacks.TerminateOnNaN())
    if verbose:
        found.append(Progress(state.step, settings.steps, settings.batch_size))
    return found
