"""The metrics of our own table (those of the tasks), and others that a user asks for by name."""

from __future__ import annotations

from dataclasses import replace

from hiu_tf.conventions import keys
from hiu_tf.errors import UserError
from hiu_tf.evaluation.benchmarks import POINT_PROTOCOLS
from hiu_tf.metrics.metric import Metric
from hiu_tf.metrics.protocols import PIXELS_0_30
from hiu_tf.tasks import PAPER


def metrics_of(tasks) -> tuple[Metric, ...]:
    """The metrics of these tasks, in their order."""
    return tuple(metric for task in tasks for metric in task.metrics)


#: Metrics of the paper's tasks.
METRICS = metrics_of(PAPER)


def named_metrics(names: list[str]) -> list[Metric]:
    """Metrics (areas under the curve) by named protocols of `benchmarks.POINT_PROTOCOLS`, for a model's predictions.

    Raises:
      UserError: a protocol needs data that records do not contain.
    """
    for name in names:
        if POINT_PROTOCOLS[name].per == "head":
            raise UserError(
                f"{name} needs the sizes of heads, which records do not hold: measure a file of predictions"
            )
    sources = {
        2: (keys.JOINTS_2D, keys.JOINTS_2D, keys.JOINTS_2D_WEIGHT),
        3: (keys.JOINTS_3D, keys.JOINTS_3D, keys.JOINTS_3D_WEIGHT),
    }
    return [Metric(name, POINT_PROTOCOLS[name], *sources[POINT_PROTOCOLS[name].dimensions], "auc") for name in names]


def with_range(metrics, low: float, high: float, steps: int) -> tuple[Metric, ...]:
    """Returns the metrics with another pixel range for the AUC of 2D joints. HIU-Data's range is not published."""
    origin = "2D joints in a crop of 256, a range that was asked for"
    other = replace(PIXELS_0_30, origin=origin, low=low, high=high, steps=steps)
    return tuple(replace(metric, protocol=other) if metric.protocol is PIXELS_0_30 else metric for metric in metrics)
