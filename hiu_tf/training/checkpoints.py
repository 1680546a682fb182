"""What a run must not lose, on disk: everything that the next step depends on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras as keras

FOLDER, _KEPT = "checkpoints", 2


class RunState:
    """Network, optimizer (with schedule position, averages, loss scale) and best validation of a run.

    The data position follows from the step, seeds from the recipe. TensorFlow writes a checkpoint beside
    the last one and then names it the latest: a process that is killed while writing loses nothing.

    Args:
      trainer: a compiled HIUTrainer.
      folder: of the run.
      own: where this worker writes: the same, or (all workers must save together) a folder to throw away.
    """

    def __init__(self, trainer: keras.Model, folder: Path, own: Path):
        self.trainer, self.folder = trainer, folder / FOLDER
        self.best = tf.Variable(np.nan, trainable=False, name="best_validation")
        self._checkpoint = tf.train.Checkpoint(network=trainer.network, optimizer=trainer.optimizer, best=self.best)
        self._manager = tf.train.CheckpointManager(self._checkpoint, str(own / FOLDER), max_to_keep=_KEPT)

    @property
    def step(self) -> int:
        """Steps done, skipped ones too."""
        return int(self.trainer.optimizer.iterations.numpy())

    def restore(self) -> bool:
        """Goes back to the latest checkpoint; False if there is none."""
        latest = tf.train.latest_checkpoint(str(self.folder))
        self.trainer.optimizer.iterations  # noqa: B018  made on first use, and must be there to be restored
        self._checkpoint.restore(latest).expect_partial()
        return latest is not None

    def save(self) -> None:
        """Writes a checkpoint and drops all but the last ones."""
        self._manager.save(self.step)


class SaveState(keras.callbacks.Callback):
    """Saves after every epoch whose loss is finite."""

    def __init__(self, state: RunState):
        super().__init__()
        self._state = state

    def on_epoch_end(self, epoch, logs=None):
        """Saves."""
        if np.isfinite(logs["loss"]):
            self._state.save()
