"""Validation during training: uses averaged weights and keeps the best ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import tf_keras as keras

from hiu_tf.atomic import written_whole
from hiu_tf.training.checkpoints import RunState
from hiu_tf.training.folder import BEST, BEST_WEIGHTS
from hiu_tf.training.optimizer import take_average

_ERRORS = ("loss", "joints_3d_root", "joints_3d_aligned")  # lower is better


class ValidateAverage(keras.callbacks.Callback):
    """Validates the averaged weights, if the optimizer keeps an average, and restores the raw weights afterwards."""

    def on_test_begin(self, logs=None):
        """Loads the averaged weights."""
        self._kept = [variable.numpy() for variable in self.model.trainable_variables]
        if not take_average(self.model.optimizer, self.model.trainable_variables):
            self._kept = None

    def on_test_end(self, logs=None):
        """Restores the raw weights."""
        if self._kept is not None:
            for variable, value in zip(self.model.trainable_variables, self._kept):
                variable.assign(value)


class KeepBest(keras.callbacks.Callback):
    """Keeps the (averaged) weights of the epoch with the best validation metric.

    Args:
      state: training state of the run, which stores the best value.
      metric: name of a metric of the trainer.
      sets: names of the validation sets.
      folder: folder for the weights.
    """

    def __init__(self, state: RunState, metric: str, sets: tuple[str, ...], folder: Path):
        super().__init__()
        self._state, self._metric, self._sets, self._folder = state, metric, list(sets), folder
        self._averages = ValidateAverage()

    def on_epoch_end(self, epoch, logs=None):
        """Writes the weights if the metric has improved."""
        value = logs.get(f"val_{self._metric}")
        if value is None or not np.isfinite(value):
            return
        best, sign = float(self._state.best.numpy()), -1 if self._metric in _ERRORS else 1
        if np.isfinite(best) and sign * value <= sign * best:
            return
        self._state.best.assign(value)
        self._averages.set_model(self.model)
        self._averages.on_test_begin()
        with written_whole(self._folder / BEST_WEIGHTS) as scratch:
            self.model.network.save_weights(str(scratch))
        self._averages.on_test_end()
        with written_whole(self._folder / BEST) as scratch:
            found = {"metric": self._metric, "sets": self._sets, "value": value, "step": self._state.step}
            scratch.write_text(json.dumps(found))


def forget_other_best(state: RunState, metric: str, sets: tuple[str, ...], folder: Path) -> None:
    """Resets the best value if it was measured with another metric or on other sets."""
    try:
        before = json.loads((folder / BEST).read_text())
    except (OSError, ValueError):
        before = {}
    if (before.get("metric", before.get("figure")), before.get("sets")) != (metric, list(sets)):
        state.best.assign(np.nan)
