"""The input pipelines: a mix of data sets for training, one data set in order for evaluation.

The input pipeline decodes and cuts crops as bytes; colours and dense targets are computed from them by the
training step, on its device (`finish`): they are many times larger than the crops.
Everything except decoding works on whole batches: running fifty small operations per picture would cost
more than processing its pixels.
"""

from __future__ import annotations

import socket
from pathlib import Path

import tensorflow as tf

from hiu_tf.config.presets import model_config
from hiu_tf.config.schema import AugmentConfig, Recipe
from hiu_tf.conventions import keys
from hiu_tf.errors import ConfigError
from hiu_tf.geometry.window import SCALE
from hiu_tf.hand.load import load_hand
from hiu_tf.tasks import active_losses, find_tasks, losses_of
from pipelines.crop import AFFINE, FRAME, cut_pictures, inside, place, to_float
from pipelines.mixing import background_records, data_folder, in_fold, mixed_records
from pipelines.recolour import recolour
from pipelines.records import parse, read_index
from pipelines.targets import targets

#: Keys of a crop that a training step needs; all others are dropped.
_TRAINING_KEYS = (
    keys.IMAGE, keys.MASK, keys.MASK_WEIGHT, keys.JOINTS_2D, keys.JOINTS_2D_WEIGHT,
    keys.JOINTS_3D, keys.JOINTS_3D_WEIGHT, keys.SSL_WEIGHT, keys.WHOLE, keys.SET_NUMBER, keys.SAMPLE_NAME,
    keys.EMPTY_HEATMAPS, keys.EMPTY_MASK,
)  # fmt: skip
_MESH_KEYS = (keys.VERTICES, keys.HAS_MESH, keys.SHAPE, keys.POSE, keys.ROTATION, keys.HAS_PARAMETERS)
_NAME_BYTES = 96
#: One new background is cut for so many pictures; each picture takes one of its batch's.
_PICTURES_A_BACKGROUND = 4
#: Side of its crop relative to the window's box, of which the window has 1.5 times the side (datasets/no_hand): a crop of
#: 1.06 / 1.5 of the window's side lies inside it at any angle.
_BACKGROUND_SCALE = (0.7, 1.06)


def training_data(
    recipe: Recipe, root: str | Path, size: int, start: int = 0, worker: int = 0, workers: int = 1
) -> tf.data.Dataset:
    """Endless batches of crops of the recipe's mix, from which `finish` computes image and targets.

    A batch is a dictionary (keys.py): pictures uint8 [B, S, S, 3], masks uint8 [B, S, S, 1], labels and their
    weights, at a random place, angle and scale, a seed for the colours [B, 2] int64, and with augment.backgrounds a
    background for each picture, uint8 [B, S, S, 3].

    Args:
      recipe: mix of data sets, augmentation, batch size, seed.
      root: folder of the records.
      size: side S of the crops.
      start: number of the first batch, so that a resumed run continues with the same data. Ignored with
        train.input_service.
      worker, workers: this process draws one of `workers` parts of every set; B is batch_size / workers.

    Raises:
      RecordError: a data set of the recipe has no records.
      ConfigError: the batch cannot be divided among the workers, or the task side lacks its augmentation.
    """
    if recipe.train.batch_size % workers:
        raise ConfigError(f"train.batch_size {recipe.train.batch_size} cannot be shared by {workers} workers")
    _require_both_sides(recipe)
    if recipe.train.input_service:
        tf.random.set_seed(None)  # a global seed would give every worker of the service the same order
    batch_size = recipe.train.batch_size // workers
    start = 0 if recipe.train.input_service else start  # the service's workers draw their own orders
    records = mixed_records(recipe, root, worker, workers).skip(start * batch_size).batch(batch_size, True)
    seeds = _seeds(recipe, worker).skip(start)
    supervision = _supervision(recipe)
    mesh_size = _mesh_size(recipe)
    wanted = (*_wanted(recipe, mesh_size), AFFINE, FRAME, keys.PICTURE_SIZE)

    def prepare(records, seed, windows=None):
        serialized, numbers = records
        batch = place(parse(serialized, mesh_size > 0, mesh_size), size, recipe.augment, seed[0])
        batch = _supervise(batch, tf.gather(supervision, numbers))
        batch |= {keys.SET_NUMBER: numbers, keys.SAMPLE_NAME: _as_numbers(batch[keys.SAMPLE_ID])}
        batch = {name: batch[name] for name in wanted}
        batch = cut_pictures(batch, size) | {keys.SEED: tf.repeat(seed[1:], tf.size(numbers), axis=0)}
        del batch[keys.PICTURE_SIZE]
        if windows is not None:
            batch[keys.BACKGROUND] = _cut_backgrounds(windows, tf.size(numbers), size, seed)
        return batch

    parts = [records, seeds]
    if recipe.augment.backgrounds and recipe.augment.background_probability:
        fewer = -(-batch_size // _PICTURES_A_BACKGROUND)
        parts.append(background_records(recipe, root, worker, workers).skip(start * fewer).batch(fewer))
    data = _parallel(tf.data.Dataset.zip(tuple(parts)), prepare)
    if recipe.train.input_service:
        _require_service(recipe.train.input_service)
        data = data.apply(
            tf.data.experimental.service.distribute(
                tf.data.experimental.service.ShardingPolicy.OFF, recipe.train.input_service
            )
        )
    return data.prefetch(2)


@tf.autograph.experimental.do_not_convert
def finish(batch: dict, recipe: Recipe, size: int):
    """Crops -> (image [B, S, S, 3] float32 in [0, 1], targets): augments the colours and computes dense targets.

    Several devices that share a batch each draw their own colours for their part.
    """
    batch = batch | {keys.IN_PICTURE: inside(batch, size)}
    batch = recolour(to_float(batch), recipe.augment, _own(batch[keys.SEED][0]))
    return batch[keys.IMAGE], targets(batch, size, recipe.pof_encoding, _tasks(recipe))


def finished_data(recipe: Recipe, root: str | Path, size: int, **where) -> tf.data.Dataset:
    """Batches (image, targets) as a training step sees them, to be looked at; arguments as for `training_data`."""
    crops = training_data(recipe, root, size, **where)
    return crops.map(tf.autograph.experimental.do_not_convert(lambda batch: finish(batch, recipe, size)))


def evaluation_data(
    folder: str | Path,
    split: str,
    size: int,
    batch_size: int,
    scale: float = SCALE,
    fold: tuple = (0.0, 1.0),
    limit: int = -1,
    without: dict[str, int] | None = None,
    mesh_size: int | None = None,
) -> tf.data.Dataset:
    """One pass in order over a split, or the first `limit` samples of a fold of it.

    Batches of plain crops, `scale` times the box, with every label; `mesh_size` as for `records.parse`.
    """

    def prepare(serialized):
        whole = parse(serialized, True, mesh_size)
        batch = place(whole, size, scale=scale)
        lost = (whole[keys.JOINTS_2D_WEIGHT] > 0) & (batch[keys.JOINTS_2D_WEIGHT] == 0)
        batch[keys.JOINTS_OUTSIDE] = tf.math.count_nonzero(lost, axis=1)
        return to_float(cut_pictures(batch, size)) | {keys.IN_PICTURE: inside(batch, size)}

    return _parallel(raw_records(folder, split, fold, limit, without).batch(batch_size), prepare).prefetch(1)


def raw_records(
    folder: str | Path,
    split: str,
    fold: tuple = (0.0, 1.0),
    limit: int = -1,
    without: dict[str, int] | None = None,
) -> tf.data.Dataset:
    """Serialized records of a split in order: those of a fold, at most `limit` of them.

    `without` maps damaged shards to the number of their first records that can be read (`records.damaged_shards`).
    """
    shards, counts = read_index(folder, split)
    records = tf.data.TFRecordDataset([shard for shard in shards if shard not in (without or {})])
    for shard, count in (without or {}).items():
        records = records.concatenate(tf.data.TFRecordDataset(shard).take(count))
    if tuple(fold) == (0.0, 1.0) and not without:
        records = records.apply(tf.data.experimental.assert_cardinality(counts["samples"]))
    elif tuple(fold) != (0.0, 1.0):
        records = records.filter(in_fold(fold))
    return records.take(limit)


def validated_paths(recipe: Recipe) -> list[str]:
    """Folders below the data's root of the sets in train.validate: names of recipe.data, or folders."""
    return [recipe.data[name].path if name in recipe.data else name for name in recipe.train.validate]


def validation_data(recipe: Recipe, root: str | Path, size: int) -> tf.data.Dataset | None:
    """One pass over the val splits of the sets in train.validate: batches (image, targets) as in training.

    Crops are not augmented, and every label counts. The last batch may be smaller. None without train.validate.
    """
    if not recipe.train.validate:
        return None
    names, paths = list(recipe.data), validated_paths(recipe)
    mesh_size, batch_size = _mesh_size(recipe), recipe.train.batch_size
    parts = [
        evaluation_data(data_folder(root, path), "val", size, batch_size, mesh_size=mesh_size or None) for path in paths
    ]
    wanted, tasks = _wanted(recipe, mesh_size), _tasks(recipe)

    def prepare(batch, number):
        ones = tf.ones_like(batch[keys.MASK_WEIGHT])
        chosen = {key: batch[key] for key in (*wanted, keys.IN_PICTURE) if key in batch}
        batch = chosen | {keys.SSL_WEIGHT: batch[keys.WHOLE]}
        batch[keys.SET_NUMBER] = tf.repeat(number, tf.shape(ones)[0])
        return batch[keys.IMAGE], targets(batch, size, recipe.pof_encoding, tasks)

    data = None
    for name, part in zip(recipe.train.validate, parts):
        number = names.index(name) if name in names else 0
        part = part.map(tf.autograph.experimental.do_not_convert(lambda batch, number=number: prepare(batch, number)))
        data = part if data is None else data.concatenate(part)
    options = tf.data.Options()
    # Every worker evaluates all samples: with shares of unequal length, workers would wait for each other forever.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return data.with_options(options)


def _cut_backgrounds(serialized, count, size, seed):
    """One of the pictures for each of `count` hands: a part of it at any angle, [count, S, S, 3] uint8."""
    place_seed, choice_seed = (tf.random.experimental.stateless_fold_in(seed[0], number) for number in (6, 7))
    config = AugmentConfig(crop_scale=_BACKGROUND_SCALE, any_rotation_probability=1.0, translation=0.0)
    pictures = cut_pictures(place(parse(serialized), size, config, place_seed), size)[keys.IMAGE]
    chosen = tf.random.stateless_uniform([count], choice_seed, 0, tf.shape(pictures)[0], tf.int32)
    return tf.gather(pictures, chosen)


def _own(seed):
    """The seed of this device: devices that share a batch draw differently."""
    replica = tf.distribute.get_replica_context()
    number = replica.replica_id_in_sync_group if replica else 0
    return seed + tf.cast(number, seed.dtype)


def _tasks(recipe):
    """Tasks of the recipe's network."""
    return find_tasks(model_config(recipe.model, recipe.network).tasks)


def _mesh_size(recipe):
    """Number of vertices if a loss needs meshes, else 0 to skip reading them: they are most of a record's bytes."""
    losses = losses_of(_tasks(recipe))
    compares = any(losses[name].of_mesh for name in active_losses(recipe.loss, _tasks(recipe)))
    return len(load_hand(recipe.hand).vertices) if compares else 0


def _wanted(recipe, mesh_size):
    """Keys of the record that the targets need."""
    of_tasks = [key for task in _tasks(recipe) for key in task.needs]
    return tuple(dict.fromkeys((*_TRAINING_KEYS, *of_tasks, *(_MESH_KEYS if mesh_size else ()))))


def _as_numbers(texts):
    return tf.io.decode_raw(texts, tf.uint8, fixed_length=_NAME_BYTES)


def _require_both_sides(recipe):
    """Raises ConfigError if the task "side" would see one side alone, or nothing would learn from the other one."""
    share, named = recipe.augment.wrong_side_probability, any(task.name == "side" for task in _tasks(recipe))
    if bool(share) != named:
        raise ConfigError(
            "augment.wrong_side_probability and the task side in network.tasks need each other, "
            f"got {share:g} and {'the task' if named else 'no such task'}"
        )


def _require_service(address):
    """Raises ConfigError if the dispatcher does not answer; TensorFlow would wait for it forever."""
    host, _, port = address.rpartition("//")[2].rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"no input service answers at train.input_service {address} ({error}): see hiu input-service"
        ) from error


def _seeds(recipe, worker):
    """Two seeds [2, 2] for each batch: for geometry and for colours."""
    seed = None if recipe.train.input_service else recipe.train.seed + 7919 * worker
    seeds = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=False).batch(4)
    return seeds.map(lambda four: tf.reshape(four, [2, 2]))


def _supervision(recipe):
    """The recipe's weight of each label of each set, [sets, 4]."""
    rows = [[data.joints_2d, data.joints_3d, data.mask, data.ssl] for data in recipe.data.values()]
    return tf.constant(rows, tf.float32)


def _supervise(batch, weights):
    """Multiplies label weights by the recipe's. Runs after the crop, which always needs the box of 2D labels."""
    return batch | {
        keys.JOINTS_2D_WEIGHT: batch[keys.JOINTS_2D_WEIGHT] * weights[:, :1],
        keys.JOINTS_3D_WEIGHT: batch[keys.JOINTS_3D_WEIGHT] * weights[:, 1:2],
        keys.MASK_WEIGHT: batch[keys.MASK_WEIGHT] * weights[:, 2],
        keys.EMPTY_HEATMAPS: batch[keys.EMPTY_HEATMAPS] * weights[:, 0],
        keys.EMPTY_MASK: batch[keys.EMPTY_MASK] * weights[:, 2],
        keys.SSL_WEIGHT: weights[:, 3] * batch[keys.WHOLE],
    }


def _parallel(data, function):
    """Parallel map without autograph, which nothing here needs and which costs seconds."""
    function = tf.autograph.experimental.do_not_convert(function)
    return data.map(function, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
