"""Saves and restores the training state: everything that the next step depends on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras as keras

FOLDER, _KEPT = "checkpoints", 2


class RunState:
    """Training state: network, optimizer (with schedule position, averages, loss scale) and best validation value.

    The position in the data follows from the step, the seeds from the recipe. TensorFlow writes a checkpoint
    beside the previous one before it marks the new one as the latest, so that a kill during writing loses nothing.

    Args:
      trainer: a compiled HIUTrainer.
      folder: of the run.
      own: the worker's folder, to which it saves. The first worker's is `folder`; the others' are temporary, because
        all workers must save together.
    """

    def __init__(self, trainer: keras.Model, folder: Path, own: Path):
        self.trainer, self.folder = trainer, folder / FOLDER
        self.best = tf.Variable(np.nan, trainable=False, name="best_validation")
        self._checkpoint = tf.train.Checkpoint(network=trainer.network, optimizer=trainer.optimizer, best=self.best)
        self._manager = tf.train.CheckpointManager(self._checkpoint, str(own / FOLDER), max_to_keep=_KEPT)

    @property
    def step(self) -> int:
        """Number of completed steps, including skipped ones."""
        return int(self.trainer.optimizer.iterations.numpy())

    def restore(self) -> bool:
        """Restores the latest checkpoint. Returns False if there is none."""
        latest = tf.train.latest_checkpoint(str(self.folder))
        self.trainer.optimizer.iterations  # noqa: B018  created on first use; must exist to be restored
        self._checkpoint.restore(latest).expect_partial()
        return latest is not None

    def save(self) -> None:
        """Writes a checkpoint and deletes old ones."""
        self._manager.save(self.step)


class SaveState(keras.callbacks.Callback):
    """Saves the training state after every epoch with a finite loss."""

    def __init__(self, state: RunState):
        super().__init__()
        self._state = state

    def on_epoch_end(self, epoch, logs=None):
        """Saves the training state."""
        if np.isfinite(logs["loss"]):
            self._state.save()
