"""The tasks: one file per head of the network. `find_tasks` looks them up by the names in a recipe."""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterable

from hiu_tf.config.schema import LossConfig
from hiu_tf.errors import ConfigError
from hiu_tf.tasks.agreement import AGREEMENTS
from hiu_tf.tasks.base import Loss, Task
from hiu_tf.tasks.hand import HAND
from hiu_tf.tasks.heatmaps import HEATMAPS
from hiu_tf.tasks.mask import MASK
from hiu_tf.tasks.pof import POF
from hiu_tf.tasks.side import SIDE

#: The paper's tasks, in the order in which the network builds them.
PAPER = (HEATMAPS, MASK, POF, HAND)
TASKS = {task.name: task for task in (*PAPER, SIDE)}


def find_tasks(names: Iterable[str]) -> tuple[Task, ...]:
    """Looks up tasks by name, or by "package.module:NAME" for tasks outside of this package.

    Raises:
      ConfigError: unknown or duplicate task.
    """
    found = tuple(TASKS[name] if name in TASKS else _imported(name) for name in names)
    if len({task.name for task in found}) < len(found):
        raise ConfigError(f"network.tasks names a task twice: {', '.join(task.name for task in found)}")
    return found


def losses_of(tasks: Iterable[Task]) -> dict[str, Loss]:
    """All losses of these tasks: their own, and the agreement losses between them."""
    tasks = tuple(tasks)
    present = {task.name for task in tasks}
    found = {name: loss for task in tasks for name, loss in task.losses.items()} | AGREEMENTS
    return {name: loss for name, loss in found.items() if present.issuperset(loss.between)}


def active_losses(config: LossConfig, tasks: Iterable[Task] = PAPER) -> dict[str, float]:
    """Name and weight of the losses with a weight above 0.

    Raises:
      ConfigError: the recipe has an unknown loss or an invalid weight.
    """
    tasks = tuple(tasks)
    losses = losses_of(tasks)
    unknown = sorted(set(config.weights) - set(losses_of((*TASKS.values(), *tasks))))
    if unknown:
        raise ConfigError(f"loss.{unknown[0]}: there is no such loss; there are {', '.join(losses)}")
    weights = {name: config.weights.get(name, loss.weight) for name, loss in losses.items()}
    wrong = [name for name, weight in weights.items() if not 0 <= weight < math.inf]
    if wrong:
        raise ConfigError(f"loss.{wrong[0]} must be a finite number >= 0, got {weights[wrong[0]]!r}")
    return {name: weight for name, weight in weights.items() if weight > 0}


def _imported(name):
    module, colon, attribute = name.partition(":")
    if not colon:
        raise ConfigError(f"network.tasks: there is no task {name!r}; there are {', '.join(TASKS)}, or MODULE:NAME")
    try:
        task = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"network.tasks: {name!r} cannot be imported: {error}") from error
    if not isinstance(task, Task):
        raise ConfigError(f"network.tasks: {name!r} is a {type(task).__name__}, expected a hiu_tf.tasks.base.Task")
    return task
