"""A training that is asked to end (Ctrl-C, SIGTERM of a cluster's scheduler) saves its step first."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import tf_keras as keras

from hiu_tf.errors import Interrupted
from hiu_tf.training.checkpoints import RunState
from hiu_tf.training.distribution import worker

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class EndWhenAsked(keras.callbacks.Callback):
    """Saves the training state and raises Interrupted after the step in which the run was asked to end.

    An epoch whose steps are done is recorded, validated and saved first: it comes after `SaveState`.
    """

    def __init__(self, state: RunState, steps: int):
        super().__init__()
        self._state, self._steps, self._signal = state, steps, None

    def ask(self, number: int, _frame=None) -> None:
        """Handles a signal. A second one ends the program at once."""
        if self._signal is not None:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self._signal = number
        print(
            f"{signal.Signals(number).name}: the run is saved after this step or validation, then ends "
            "(the same signal again: at once)",
            file=sys.stderr,
        )

    def on_train_batch_end(self, batch, logs=None):
        """Saves within an epoch, unless the loss is not finite."""
        if self._signal is not None and batch + 1 < self.params["steps"]:
            if np.isfinite(logs["loss"]):
                self._state.save()
            self._end()

    def on_epoch_end(self, epoch, logs=None):
        """Ends after an epoch, which is saved."""
        if self._signal is not None:
            self._end()

    def _end(self):
        if sys.stderr.isatty():
            print(file=sys.stderr)  # below the progress bar
        raise Interrupted(
            self._signal,
            f"ended by {signal.Signals(self._signal).name} after step {self._state.step} of {self._steps}: the same command goes on",
        )


@contextmanager
def ended_when_asked(state: RunState, steps: int) -> Iterator[EndWhenAsked]:
    """A callback that hears Ctrl-C and SIGTERM inside the block.

    Several workers save together only: they, and trainings outside of the main thread, end as Python does.
    """
    callback, before = EndWhenAsked(state, steps), {}
    if worker()[1] == 1 and threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, callback.ask) for number in _SIGNALS if _is_heard(number)}
    try:
        yield callback
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_heard(number):
    """Whether a signal has Python's own effect: a background job ignores SIGINT, and other handlers are not ours."""
    return signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler)
