"""Memory that a training needs on each device, computed from its recipe."""

from __future__ import annotations

import math

from hiu_tf.config.preset_costs import COSTS, Cost
from hiu_tf.config.presets import model_config
from hiu_tf.config.schema import Recipe

_FLOAT_BYTES = 4
#: Numbers that each optimizer keeps for every weight.
_MOMENTS = {"adamw": 2, "sgdw": 1}


def memory_rows(recipe: Recipe, devices: int = 1) -> list[dict]:
    """A row for each use of memory on one device, in megabytes, and their sum.

    An upper bound on what the step keeps at the same time: it counts the output of every layer, of which TensorFlow
    keeps about two thirds until the gradient (docs/training.md). Workspaces of convolutions come on top.

    Args:
      recipe: without stages.
      devices: number of devices that share a batch.
    """
    train, cost = recipe.train, _cost(recipe)
    weights = _FLOAT_BYTES * cost.parameters / 1e6
    pictures = math.ceil(train.batch_size / devices / train.accumulate)
    half = train.precision != "float32"
    rows = {
        "weights": weights,
        "weights in 16 bit": weights / 2 * half,
        "gradients": weights,
        "gradients, accumulated": weights * (train.accumulate > 1),
        f"optimizer ({train.optimizer})": weights * _MOMENTS[train.optimizer],
        "averaged weights": weights * bool(train.ema or train.swa_every),
        f"outputs of all layers, {pictures} pictures at a time{' in 16 bit' * half}": pictures
        * cost.activations_mb
        * (0.5 if half else 1),
    }
    used = {name: megabytes for name, megabytes in rows.items() if megabytes}
    return [{"on each device": name, "MB": round(mb)} for name, mb in [*used.items(), ("sum", sum(used.values()))]]


def _cost(recipe) -> Cost:
    """The cost of the network: known for presets, else counted from its graph."""
    config = model_config(recipe.model, recipe.network)
    if not recipe.network:
        return COSTS[recipe.model]
    from hiu_tf.models.cost import network_cost

    return network_cost(config)
