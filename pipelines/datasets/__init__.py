"""One folder per data set: its reader and its data card.

A reader is a module with two functions:

    read(source: str, split: str, part: int, parts: int) -> Iterator[Sample]
    fingerprint(source: str, split: str) -> str

The first yields the samples of one of `parts` equal parts of a split, always the same ones in the same
order, so that parts can be written in parallel and again after a crash. The second changes when the
samples do, so that records of older ones are not kept.
"""

import importlib

from hiu_tf.errors import UserError

READERS = {
    "synthetic": "pipelines.datasets.synthetic.reader",
    "own_data": "pipelines.datasets.own_data.reader",
}


class DataSetError(UserError):
    """A folder or file of a data set that cannot be read; the message says what and where."""


def reader(name: str):
    """The reader module of a data set.

    Raises:
      DataSetError: there is no such data set.
    """
    if name not in READERS:
        raise DataSetError(f"unknown data set {name!r}; known are {', '.join(sorted(READERS))}")
    return importlib.import_module(READERS[name])
