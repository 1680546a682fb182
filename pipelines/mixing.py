"""Which sample comes when: the sets of a recipe, shuffled and mixed, before anything is decoded."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from hiu_tf.config.schema import DataConfig, Recipe
from pipelines.records import RecordError, read_index

_BUCKETS = 1 << 20  # of sample ids, to cut a set into folds
_OPEN_FILES = 4


def data_folder(root: str | Path, path: str) -> Path:
    """Where a recipe's data set lies: its path under the data root."""
    folder = Path(root) / path
    if not folder.is_dir():
        raise RecordError(f"{folder} does not exist: write its records with tools/prepare.py, or give another --data")
    return folder


def mixed_records(recipe: Recipe, root: str | Path, worker: int = 0, workers: int = 1) -> tf.data.Dataset:
    """Endless (serialized record, number of its set in the recipe), in an order that follows from the seed.

    Args:
      recipe: its data, train.mix, train.seed and train.shuffle. With train.input_service every worker of
        the service draws an order of its own, so that no two send the same batches.
      root: folder that holds the records.
      worker, workers: draw one of `workers` parts that share no sample.

    Raises:
      RecordError: a set has no records, too few shards, or no sample in its fold.
    """
    seed = None if recipe.train.input_service else recipe.train.seed
    by_epoch = recipe.train.mix == "epoch"
    streams, weights = [], []
    for number, config in enumerate(recipe.data.values()):
        weight = config.repeat if by_epoch else config.share
        if weight == 0:
            continue
        stream, samples = _pass_over(config, root, recipe.train.shuffle, _add(seed, 1000 * number), worker, workers)
        stream = stream.repeat(config.repeat) if by_epoch else stream.repeat()
        streams.append(stream.map(lambda record, number=number: (record, number)))
        weights.append(samples * weight if by_epoch else weight)
    mixed = tf.data.Dataset.sample_from_datasets(streams, [weight / sum(weights) for weight in weights], seed=seed)
    return mixed.repeat() if by_epoch else mixed


def _pass_over(config: DataConfig, root, buffer, seed, worker, workers):
    """One pass over a set's fold, shuffled, and how many samples the set has."""
    folder = data_folder(root, config.path)
    shards, counts = read_index(folder, "train")
    if len(shards) < workers:
        raise RecordError(
            f"{folder} has {len(shards)} shards for {workers} workers: prepare it with --shards {workers}"
        )
    files = tf.data.Dataset.from_tensor_slices(shards[worker::workers]).shuffle(len(shards), seed=seed)
    records = files.interleave(tf.data.TFRecordDataset, cycle_length=_OPEN_FILES)
    if tuple(config.fold) != (0.0, 1.0):
        records = records.filter(_in_fold(config.fold))
        if not any(True for _ in records.take(1)):
            raise RecordError(f"data.{config.path}: no sample falls into the fold {list(config.fold)}")
    return records.shuffle(min(buffer, counts["samples"]), seed=seed), counts["samples"]


def _in_fold(fold):
    """Whether a serialized record's id falls into that part of the set."""

    def chosen(serialized):
        identity = tf.io.parse_single_example(serialized, {"sample_id": tf.io.FixedLenFeature([], tf.string)})
        place = tf.strings.to_hash_bucket_fast(identity["sample_id"], _BUCKETS) / _BUCKETS
        return (fold[0] <= place) & (place < fold[1])

    return chosen


def _add(seed, number):
    return None if seed is None else seed + number
