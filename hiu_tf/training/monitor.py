"""Callbacks that report on a run: a progress bar; after every epoch a record, scalars and pictures."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf
import tf_keras as keras
from tqdm import tqdm

from hiu_tf.training.journal import Journal
from hiu_tf.training.sheet import prediction_sheet
from hiu_tf.training.trainer import HIUTrainer

_REFRESH_S = 0.5


class EpochRecord(keras.callbacks.Callback):
    """Writes a record after every epoch: losses by stack and set, gradient norms by part, label counts, rates.

    Args:
      rate: step -> learning rate.
      batch_size: pictures per step.
      journal: of the run.
      board: TensorBoard's writer.
      shown: pictures [N, S, S, 3] whose predictions are drawn.
    """

    def __init__(self, rate: Callable, batch_size: int, journal: Journal, board, shown: np.ndarray):
        super().__init__()
        self._rate, self._batch_size = rate, batch_size
        self._journal, self._board, self._shown = journal, board, shown

    def on_epoch_begin(self, epoch, logs=None):
        """Starts the clocks."""
        self._start, self._waited = time.perf_counter(), float(self.model.input_wait.numpy())
        self._first = int(self.model.optimizer.iterations.numpy())
        self._training_s, self._counted = 0.0, None

    def on_train_batch_end(self, batch, logs=None):
        """Stops the clock of training here, to exclude validation after the last batch."""
        self._training_s = time.perf_counter() - self._start

    def on_test_begin(self, logs=None):
        """Saves the statistics of training, because validation resets and uses the same meter."""
        self._counted = self.model.meter.table()

    def on_epoch_end(self, epoch, logs=None):
        """Writes the record."""
        trainer: HIUTrainer = self.model
        step = int(trainer.optimizer.iterations.numpy())
        table = self._counted or trainer.meter.table()
        # A validation metric is NaN where no sample has its label: it is left out.
        logs = {name: value for name, value in logs.items() if not (name.startswith("val_") and np.isnan(value))}
        record = {"step": step, **{name: float(value) for name, value in logs.items()}}
        record["learning_rate"] = float(self._rate(step))
        record["images_per_second"] = (step - self._first) * self._batch_size / max(self._training_s, 1e-9)
        waited = float(trainer.input_wait.numpy()) - self._waited
        record["input_wait_share"] = waited / max(self._training_s, 1e-9)
        record |= trainer.part_norms.table() | table
        self._journal.add(record)
        with self._board.as_default(step=step):
            for name, value in record.items():
                if name != "step" and np.isfinite(value):
                    tf.summary.scalar(_board_name(name), value)
            sheet = prediction_sheet(trainer.network, trainer.hand, self._shown, trainer.tasks)
            tf.summary.image("predictions", sheet[np.newaxis])
        self._board.flush()


def _board_name(name):
    """Name of a scalar in TensorBoard, which groups by the part before the first slash."""
    if name.startswith(("labels/", "gradient_norm/")):
        return name
    if "/" in name:
        return ("by_stack/" if "/stack " in name else "by_set/") + name
    return f"validation/{name[4:]}" if name.startswith("val_") else f"epoch/{name}"


class Progress(keras.callbacks.Callback):
    """A progress bar over all steps of the run with all losses; without a terminal, a line per epoch.

    Args:
      done, steps: number of steps done so far, and of the whole run.
      batch_size: pictures per step.
    """

    def __init__(self, done: int, steps: int, batch_size: int):
        super().__init__()
        self._done, self._steps, self._batch_size = done, max(done, steps), batch_size
        self._is_watched = sys.stderr.isatty()

    def on_train_begin(self, logs=None):
        """Opens the bar."""
        self._bar = tqdm(total=self._steps, initial=self._done, unit="step", disable=not self._is_watched)
        self._lines = [tqdm(bar_format="{desc}", position=k, leave=False, disable=not self._is_watched) for k in (1, 2)]
        self._start, self._shown = time.perf_counter(), 0.0

    def on_train_batch_end(self, batch, logs=None):
        """Advances the bar."""
        now = int(self.model.optimizer.iterations.numpy())
        self._bar.update(now - self._bar.n)
        if time.perf_counter() - self._shown > _REFRESH_S:
            self._shown = time.perf_counter()
            rate = (now - self._done) * self._batch_size / (self._shown - self._start)
            self._bar.set_postfix_str(f"loss {logs['loss']:.3f}, {rate:.1f} images/s")
            values = [f"{name} {value:.3g}" for name, value in logs.items()]
            for k, line in enumerate(self._lines):
                line.set_description_str("  ".join(values[k::2]))

    def on_epoch_end(self, epoch, logs=None):
        """Prints the epoch's means."""
        if not self._is_watched:
            now = int(self.model.optimizer.iterations.numpy())
            left = (time.perf_counter() - self._start) / max(now - self._done, 1) * (self._steps - now)
            values = "  ".join(f"{name} {value:.4g}" for name, value in logs.items())
            print(f"step {now}/{self._steps}, {left:.0f} s left  {values}", flush=True)

    def on_train_end(self, logs=None):
        """Closes the bar."""
        for bar in (*self._lines, self._bar):
            bar.close()
