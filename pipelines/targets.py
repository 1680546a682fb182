"""Targets of a batch of crops, as encoded by the tasks."""

from collections.abc import Iterable

import tensorflow as tf

from hiu_tf.conventions import keys
from hiu_tf.tasks import PAPER
from hiu_tf.tasks.base import Crop, Task

_PASSED_ON = (keys.SSL_WEIGHT, keys.WHOLE, keys.IN_PICTURE, keys.SET_NUMBER, keys.SAMPLE_NAME)


def targets(batch: dict, size: int, pof_encoding: str = "paper", tasks: Iterable[Task] = PAPER) -> dict[str, tf.Tensor]:
    """Encodes the targets of the losses (keys.py): the tasks' labels and their weights.

    Args:
      batch: output of `crop.cut_pictures`, with label weights already multiplied by the recipe's.
      size: S.
      pof_encoding: see codecs/pof.py.
      tasks: of the network.
    """
    found = {key: batch[key] for key in _PASSED_ON if key in batch}
    for task in tasks:
        found |= task.encode(batch, Crop(size, pof_encoding))
    return found
