"""The synthetic data set: pictures that are rendered when they are asked for."""

import hashlib
from collections.abc import Iterator

from hiu_tf.hand.procedural import PROCEDURAL_HAND, procedural_hand
from pipelines.datasets import DataSetError
from pipelines.datasets.synthetic.render import render
from pipelines.datasets.synthetic.scene import sample_scene
from pipelines.schema import Sample

#: Splits draw from seeds that never meet.
_FIRST_SEED = {"train": 0, "val": 1 << 28, "test": 1 << 29}
_MOST = 1 << 28
_BATCH = 16


def fingerprint(source: str, split: str) -> str:
    """What is rendered depends on the hand and on nothing else outside the code."""
    del source, split
    return hashlib.sha256(PROCEDURAL_HAND.read_bytes()).hexdigest()[:16]


def read(source: str, split: str, part: int, parts: int) -> Iterator[Sample]:
    """Renders every `parts`-th picture of a split.

    Args:
      source: how many pictures the split has, as a decimal number.
      split: train, val or test.
      part, parts: which share of them to yield.

    Raises:
      DataSetError: source is no positive number or the split is unknown.
    """
    if split not in _FIRST_SEED:
        raise DataSetError(f"synthetic: unknown split {split!r}; known are {', '.join(_FIRST_SEED)}")
    if not source.isdecimal() or not 1 <= int(source) <= _MOST:
        raise DataSetError(f"synthetic: the source is a number of pictures from 1 to {_MOST}, got {source!r}")
    seeds = list(range(_FIRST_SEED[split] + part, _FIRST_SEED[split] + int(source), parts))
    for start in range(0, len(seeds), _BATCH):
        some = seeds[start : start + _BATCH]
        yield from render([sample_scene(seed) for seed in some], procedural_hand(), [f"{seed:09d}" for seed in some])
