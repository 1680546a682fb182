"""The synthetic data set: pictures that are rendered when they are asked for."""

import hashlib

from hiu_tf.hand.procedural import PROCEDURAL_HAND, procedural_hand
from pipelines.datasets import DataSetError, Split
from pipelines.datasets.synthetic.render import render
from pipelines.datasets.synthetic.scene import sample_scene

#: Name -> first seed.
SPLITS = {"train": 0, "val": 1 << 28, "test": 1 << 29}
_MOST = 1 << 28


def open_split(source: str, split: str) -> Split:
    """Pictures rendered on demand.

    Args:
      source: how many the split has, as a decimal number.
      split: train, val or test; their scenes are drawn from seeds that never meet.

    Raises:
      DataSetError: source is no positive number.
    """
    if not source.isdecimal() or not 1 <= int(source) <= _MOST:
        raise DataSetError(f"synthetic: the source is a number of pictures from 1 to {_MOST}, got {source!r}")
    # What is rendered depends on the hand and on nothing else outside the code.
    stamp = hashlib.sha256(PROCEDURAL_HAND.read_bytes()).hexdigest()[:16]
    seeds = range(SPLITS[split], SPLITS[split] + int(source))
    return Split("synthetic", seeds, lambda seed: _render([seed])[0], stamp, load_many=_render)


def _render(seeds):
    return render([sample_scene(seed) for seed in seeds], procedural_hand(), [f"{seed:09d}" for seed in seeds])
