"""One folder per data set: its reader, its data card (README.md), its known bad samples (known_bad.csv).

A reader is a module with SPLITS, the names of its splits, and one function:

    open_split(source: str, split: str, **options) -> Split

It reads the annotations; the pictures of a sample are read when the sample is loaded. docs/data.md shows a
new reader in forty lines.
"""

from __future__ import annotations

import csv
import hashlib
import importlib
import inspect
import json
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2

from hiu_tf.errors import UserError
from pipelines.schema import DataSetError, Sample

READERS = {
    "rhd": "pipelines.datasets.rhd.reader",
    "stb": "pipelines.datasets.stb.reader",
    "freihand": "pipelines.datasets.freihand.reader",
    "cmu": "pipelines.datasets.cmu.reader",
    "dexter_object": "pipelines.datasets.dexter_object.reader",
    "hiu_data": "pipelines.datasets.hiu_data.reader",
    "synthetic": "pipelines.datasets.synthetic.reader",
    "own_data": "pipelines.datasets.own_data.reader",
    "no_hand": "pipelines.datasets.no_hand.reader",
}
KNOWN_BAD = "known_bad.csv"
_AT_ONCE = 16


@dataclass(frozen=True)
class Split:
    """The samples of one split, loaded on demand.

    Attributes:
      name: of the data set.
      keys: one per sample, unique as strings; always the same keys in the same order.
      load: key -> sample. Raises DataSetError or SampleError for a broken sample, LeftOut for one to be left out.
      fingerprint: changes when the samples change, so that outdated records are written again.
      load_many: keys -> samples, for sets where loading many at once is cheaper (rendering).
      left_out: key -> reason, for samples known to be bad; these keys are not among `keys`.
    """

    name: str
    keys: Sequence[Hashable]
    load: Callable[[Hashable], Sample]
    fingerprint: str
    load_many: Callable[[Sequence[Hashable]], list[Sample]] | None = None
    left_out: dict[str, str] | None = None

    def outcomes(self, part: int = 0, parts: int = 1) -> Iterator[tuple[str, Sample | UserError]]:
        """Yields (key, validated sample or error) for every `parts`-th key, starting with key number `part`."""
        keys = self.keys[part::parts]
        for start in range(0, len(keys), _AT_ONCE):
            some = keys[start : start + _AT_ONCE]
            found = self.load_many(some) if self.load_many else map(self._try, some)
            yield from ((str(key), _validated(outcome)) for key, outcome in zip(some, found))

    def _try(self, key):
        try:
            return self.load(key)
        except UserError as error:
            return error
        except (OSError, cv2.error, KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            return DataSetError(f"{self.name}/{key}: {error!r}")


def open_split(name: str, source: str, split: str, options: tuple[tuple[str, str], ...] = ()) -> Split:
    """Opens a split of a data set, without the samples known to be bad.

    Args:
      name: one of READERS.
      source: folder of the data set (synthetic: number of pictures).
      split: one of the reader's SPLITS.
      options: (name, value) pairs of the reader's own options.

    Raises:
      DataSetError: unknown name, split or option; the annotations cannot be read or are empty.
    """
    module = reader(name)
    splits = getattr(module, "SPLITS", None)
    if splits is not None and split not in splits:
        raise DataSetError(f"{name}: unknown split {split!r}; known are {', '.join(splits)}")
    known = [p for p in inspect.signature(module.open_split).parameters if p not in ("source", "split")]
    for option, _ in options:
        if option not in known:
            raise DataSetError(f"{name}: unknown option {option!r}; known are {', '.join(known) or 'none'}")
    opened = module.open_split(source, split, **dict(options))
    bad = _known_bad(Path(module.__file__).with_name(KNOWN_BAD)) | _known_bad(Path(source) / KNOWN_BAD)
    keys = [key for key in opened.keys if str(key) not in bad]
    if not keys:
        raise DataSetError(f"{name}: {source} holds no sample of the split {split!r}")
    if len(set(map(str, keys))) < len(keys):
        repeated = next(str(key) for key, count in Counter(map(str, keys)).items() if count > 1)
        raise DataSetError(f"{name}: {source}: the sample {repeated} stands twice in the split {split!r}")
    stamp = hashlib.sha256(f"{opened.fingerprint} {[str(key) for key in keys]}".encode()).hexdigest()[:16]
    left_out = {str(key): bad[str(key)] for key in opened.keys if str(key) in bad}
    return replace(opened, keys=keys, fingerprint=stamp, left_out=left_out)


def reader(name: str):
    """The reader module of a data set.

    Raises:
      DataSetError: there is no such data set.
    """
    if name not in READERS:
        raise DataSetError(f"unknown data set {name!r}; known are {', '.join(sorted(READERS))}")
    return importlib.import_module(READERS[name])


def read_json(path: Path, where: str):
    """Reads a JSON file; `where` is the start of the error message."""
    try:
        return json.loads(path.read_text())
    except OSError as error:
        raise DataSetError(f"{where}: cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise DataSetError(f"{where}: {path} is no JSON: {error}") from error


def files_stamp(paths: Iterable[Path]) -> str:
    """Fingerprint of label files by names, sizes and modification times."""
    facts = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in paths if path.is_file()]
    return hashlib.sha256(str(sorted(facts)).encode()).hexdigest()[:16]


def _known_bad(path):
    """Reads {key: reason} from a CSV with the columns sample and reason; {} without the file."""
    if not path.is_file():
        return {}
    with open(path, newline="", encoding="utf-8-sig") as file:  # Excel writes a byte order mark
        rows = csv.DictReader(file)
        if not {"sample", "reason"} <= set(rows.fieldnames or ()):
            raise DataSetError(f"{path}: the first line must be 'sample,reason', found {rows.fieldnames}")
        return {row["sample"]: row["reason"] for row in rows}


def _validated(outcome):
    try:
        return outcome.validate() if isinstance(outcome, Sample) else outcome
    except UserError as error:
        return error
