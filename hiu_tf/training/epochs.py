"""Which epochs a run has left. An epoch ends at a multiple of train.steps_per_epoch, or with the run."""

from __future__ import annotations

from hiu_tf.config.schema import TrainConfig


def epochs_left(done: int, settings: TrainConfig) -> list[tuple[range, int]]:
    """Remaining epochs after `done` steps: (epoch numbers from 0, steps of each).

    First the rest of an epoch that was interrupted, then whole ones, then a shorter last one.
    """
    length, steps = settings.steps_per_epoch, settings.steps
    begun = min(-done % length, steps - done)
    first = -(-done // length)
    whole, rest = divmod(max(steps - done - begun, 0), length)
    parts = (
        (range(first - 1, first), begun),
        (range(first, first + whole), length),
        (range(first + whole, first + whole + 1), rest),
    )
    return [(epochs, count) for epochs, count in parts if epochs and count > 0]


def validated_epochs(left: list[tuple[range, int]], every: int) -> list[int]:
    """Numbers (from 1) of the epochs with validation, including the last; independent of interruptions."""
    last = left[-1][0].stop
    return sorted({*range(every, last + 1, every), last})
