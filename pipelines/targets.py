"""Labels of a batch of crops, as the tasks want them."""

from collections.abc import Iterable

import tensorflow as tf

from hiu_tf.conventions import keys
from hiu_tf.tasks import PAPER
from hiu_tf.tasks.base import Crop, Task

_PASSED_ON = (keys.SSL_WEIGHT, keys.SET_NUMBER, keys.SAMPLE_NAME)


def targets(batch: dict, size: int, pof_encoding: str = "paper", tasks: Iterable[Task] = PAPER) -> dict[str, tf.Tensor]:
    """Everything the losses compare with (keys.py): the tasks' labels and their weights.

    Args:
      batch: crops as `crop.cut_pictures` makes them, weights already times the recipe's.
      size: S.
      pof_encoding: of codecs/pof.py.
      tasks: of the network.
    """
    found = {key: batch[key] for key in _PASSED_ON if key in batch}
    for task in tasks:
        found |= task.encode(batch, Crop(size, pof_encoding))
    return found
