"""The input pipelines: a mix of data sets for training, one data set in order for evaluation."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from hiu_tf.config.schema import DataConfig, Recipe
from hiu_tf.conventions import keys
from pipelines.augment import crop, recolour
from pipelines.records import RecordError, parse, read_index
from pipelines.targets import targets

#: What a training step needs of a crop; the rest (ids, mesh) stays behind.
_TRAINING_KEYS = (
    keys.IMAGE, keys.MASK, keys.MASK_WEIGHT, keys.JOINTS_2D, keys.JOINTS_2D_WEIGHT,
    keys.JOINTS_3D, keys.JOINTS_3D_WEIGHT, keys.SSL_WEIGHT,
)  # fmt: skip

_BUCKETS = 1 << 20  # of sample ids, to cut a set into folds


def data_folder(root: str | Path, path: str) -> Path:
    """Where a recipe's data set lies: its path under the data root."""
    folder = Path(root) / path
    if not folder.is_dir():
        raise RecordError(f"{folder} does not exist: write its records with tools/prepare.py, or give another --data")
    return folder


def training_data(recipe: Recipe, root: str | Path, size: int) -> tf.data.Dataset:
    """Endless batches (image [B, S, S, 3], targets) of the recipe's mix, augmented, seeded.

    Raises:
      RecordError: a data set of the recipe has no records.
    """
    streams, shares = [], []
    for number, config in enumerate(recipe.data.values()):
        if config.share > 0:
            streams.append(_stream(config, root, recipe, size, number))
            shares.append(config.share)
    mixed = tf.data.Dataset.sample_from_datasets(streams, [s / sum(shares) for s in shares], seed=recipe.train.seed)
    return (
        mixed.batch(recipe.train.batch_size, drop_remainder=True)
        .map(lambda batch: (batch[keys.IMAGE], targets(batch, size)))
        .prefetch(2)
    )


def evaluation_data(folder: str | Path, split: str, size: int, batch_size: int) -> tf.data.Dataset:
    """One pass over a split in order: batches of plain crops with every label, mesh left out of ragged sets."""
    shards, _ = read_index(folder, split)
    data = (
        tf.data.TFRecordDataset(shards)
        .map(parse)
        .map(lambda record: crop(record, size, None), num_parallel_calls=tf.data.AUTOTUNE)
    )
    return data.padded_batch(batch_size).prefetch(2)


def _stream(config: DataConfig, root, recipe, size, number):
    """One data set, endlessly: shuffled, cropped, recoloured, its labels weighted."""
    shards, counts = read_index(data_folder(root, config.path), "train")
    seed = recipe.train.seed + 1000 * number
    files = tf.data.Dataset.from_tensor_slices(shards).shuffle(len(shards), seed=seed)
    records = files.interleave(tf.data.TFRecordDataset, cycle_length=4).filter(_in_fold(config.fold))
    if not any(True for _ in records.take(1)):
        raise RecordError(f"data.{config.path}: no sample falls into the fold {list(config.fold)}")
    records = records.repeat()
    records = records.shuffle(min(recipe.train.shuffle, counts["samples"]), seed=seed)
    seeds = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=False).batch(2)

    @tf.autograph.experimental.do_not_convert
    def prepare(serialized, sample_seed):
        first, second = tf.unstack(tf.random.experimental.stateless_split(sample_seed, 2))
        sample = _supervise(crop(parse(serialized), size, recipe.augment, first), config)
        sample = recolour(sample, recipe.augment, second)
        return {key: sample[key] for key in _TRAINING_KEYS}

    return tf.data.Dataset.zip((records, seeds)).map(prepare, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def _in_fold(fold):
    """Whether a serialized record's id falls into that part of the set."""

    def chosen(serialized):
        identity = tf.io.parse_single_example(serialized, {"sample_id": tf.io.FixedLenFeature([], tf.string)})
        place = tf.strings.to_hash_bucket_fast(identity["sample_id"], _BUCKETS) / _BUCKETS
        return (fold[0] <= place) & (place < fold[1])

    return chosen


def _supervise(record, config):
    """Hides or weighs labels as the recipe says; after the crop, which always needs the 2D box."""
    return record | {
        keys.JOINTS_2D_WEIGHT: record[keys.JOINTS_2D_WEIGHT] * config.joints_2d,
        keys.JOINTS_3D_WEIGHT: record[keys.JOINTS_3D_WEIGHT] * config.joints_3d,
        keys.MASK_WEIGHT: record[keys.MASK_WEIGHT] * config.mask,
        keys.SSL_WEIGHT: tf.constant(float(config.ssl)),
    }
