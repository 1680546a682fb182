"""The order of samples: shuffles and mixes the records of a recipe's sets before anything is decoded."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from hiu_tf.config.schema import DRAWN_BY, DataConfig, Recipe
from pipelines.records import RecordError, read_index

_BUCKETS = 1 << 20  # hash buckets of groups, from which folds are made
_OPEN_FILES = 4


def data_folder(root: str | Path, path: str) -> Path:
    """Folder of a recipe's data set: its path under the data root."""
    folder = Path(root) / path
    if not folder.is_dir():
        raise RecordError(f"{folder} does not exist: write its records with hiu prepare, or give another --data")
    return folder


def mixed_records(recipe: Recipe, root: str | Path, worker: int = 0, workers: int = 1) -> tf.data.Dataset:
    """Endless data set of (serialized record, number of its set in the recipe), in an order given by the seed.

    Args:
      recipe: uses data, train.mix, train.seed and train.shuffle. With train.input_service every worker of
        the service draws its own order, so that no two send the same batches.
      root: folder of the records.
      worker, workers: draw one of `workers` parts that share no sample.

    Raises:
      RecordError: a set has no records, too few shards, or no sample in its fold.
    """
    seed = None if recipe.train.input_service else recipe.train.seed
    by_epoch = recipe.train.mix == "epoch"
    weights = mixture(recipe, root)
    streams = []
    for number, (name, config) in enumerate(recipe.data.items()):
        if name in weights:
            stream = _pass_over(config, root, recipe.train.shuffle, _add(seed, 1000 * number), worker, workers)
            stream = stream.repeat(config.repeat) if by_epoch else stream.repeat()
            streams.append(stream.map(lambda record, number=number: (record, number)))
    mixed = tf.data.Dataset.sample_from_datasets(
        streams, [w / sum(weights.values()) for w in weights.values()], seed=seed
    )
    return mixed.repeat() if by_epoch else mixed


def background_records(recipe: Recipe, root: str | Path, worker: int = 0, workers: int = 1) -> tf.data.Dataset:
    """Endless data set of the records of the folders in augment.backgrounds, shuffled; arguments as for `mixed_records`.

    Raises:
      RecordError: as `mixed_records`, or a folder has hands.
    """
    seed = None if recipe.train.input_service else recipe.train.seed
    streams, weights = [], []
    for number, path in enumerate(recipe.augment.backgrounds, start=len(recipe.data)):
        stream = _pass_over(DataConfig(path), root, recipe.train.shuffle, _add(seed, 1000 * number), worker, workers)
        streams.append(stream.repeat())
        weights.append(float(_windows(path, root)))
    return tf.data.Dataset.sample_from_datasets(streams, weights, seed=_add(seed, 500))


def _windows(path, root):
    """Number of records of a folder of backgrounds."""
    _, counts = read_index(data_folder(root, path), "train")
    hands = counts["samples"] - counts.get("no_hand", 0)
    if hands:
        raise RecordError(
            f"augment.backgrounds: {data_folder(root, path)} has {hands} hands, but takes records without (hiu prepare no_hand)"
        )
    return counts["samples"]


def drawn_sets(recipe: Recipe) -> dict[str, DataConfig]:
    """The sets with a weight above 0 in the mix."""
    return {name: config for name, config in recipe.data.items() if getattr(config, DRAWN_BY[recipe.train.mix]) > 0}


def mixture(recipe: Recipe, root: str | Path) -> dict[str, float]:
    """Weight of each drawn set: its share, or its number of samples per epoch."""
    drawn = drawn_sets(recipe)
    if recipe.train.mix == "share":
        return {name: config.share for name, config in drawn.items()}
    return {name: config.repeat * _samples(config, root) for name, config in drawn.items()}


def describe(recipe: Recipe, root: str | Path, steps: int) -> str:
    """Text with a line per set: number of samples, share of the pictures, passes of the run over it, labels used."""
    weights, lines = mixture(recipe, root), []
    for name, config in recipe.data.items():
        part = weights.get(name, 0) / sum(weights.values())
        samples = _samples(config, root) if part else 0
        passes = steps * recipe.train.batch_size * part / samples if samples else 0
        labels = ", ".join(f for f in ("joints_2d", "joints_3d", "mask", "ssl") if getattr(config, f)) or "none"
        lines.append(f"  {name}: {samples} samples, {part:.0%} of the pictures, {passes:.1f} passes; labels: {labels}")
    lines += [f"  {path}: {_windows(path, root)} backgrounds" for path in recipe.augment.backgrounds]
    return "\n".join(lines)


def _samples(config, root):
    """Number of samples of a set, or of its fold, which are counted by reading the records."""
    shards, counts = read_index(data_folder(root, config.path), "train")
    if tuple(config.fold) == (0.0, 1.0):
        return counts["samples"]
    records = tf.data.TFRecordDataset(shards, num_parallel_reads=_OPEN_FILES).filter(in_fold(config.fold))
    return int(records.reduce(0, lambda count, _: count + 1))


def _pass_over(config: DataConfig, root, buffer, seed, worker, workers):
    """One pass over a set's fold, shuffled."""
    folder = data_folder(root, config.path)
    shards, counts = read_index(folder, "train")
    if len(shards) < workers:
        raise RecordError(
            f"{folder} has {len(shards)} shards for {workers} workers: prepare it with --shards {workers}"
        )
    files = tf.data.Dataset.from_tensor_slices(shards[worker::workers]).shuffle(len(shards), seed=seed)
    records = files.interleave(tf.data.TFRecordDataset, cycle_length=_OPEN_FILES)
    if tuple(config.fold) != (0.0, 1.0):
        records = records.filter(in_fold(config.fold))
        if not any(True for _ in records.take(1)):
            raise RecordError(f"{folder}: no sample falls into the fold {list(config.fold)}")
    return records.shuffle(min(buffer, counts["samples"]), seed=seed)


def in_fold(fold):
    """Makes a function that tells whether the group of a serialized record belongs to the fold."""

    def chosen(serialized):
        identity = tf.io.parse_single_example(serialized, {"group": tf.io.FixedLenFeature([], tf.string)})
        place = tf.strings.to_hash_bucket_fast(identity["group"], _BUCKETS) / _BUCKETS
        return (fold[0] <= place) & (place < fold[1])

    return chosen


def _add(seed, number):
    return None if seed is None else seed + number
