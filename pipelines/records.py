"""Samples <-> TFRecord shards, with an index that has counts and statistics of their samples."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import tensorflow as tf

from hiu_tf.atomic import written_whole
from hiu_tf.conventions import keys
from hiu_tf.conventions.skeleton import NUM_JOINTS
from hiu_tf.errors import UserError
from pipelines.schema import LeftOut, Sample
from pipelines.tally import merge, tally

INDEX = "index.json"
RECORD_VERSION = 2


class RecordError(UserError):
    """A folder of records that cannot be used."""


def write_shard(
    path: Path,
    outcomes: Iterable[tuple[str, Sample | UserError]],
    made_from: str = "",
    on_sample: Callable = lambda: None,
) -> dict:
    """Writes one shard atomically. Returns its note, which describes its content and the missing samples.

    The note is a JSON file beside the shard, with the shard's size and checksum. A shard with a matching note
    is complete and is not written again.

    Args:
      path: of the shard.
      outcomes: (key, validated sample or error), from `Split.outcomes`. The note lists broken samples as skipped,
        and those excluded by rules of their set as left out.
      made_from: identifies the samples; a shard with a different value is written again.
      on_sample: called after each outcome.
    """
    note = path.with_suffix(".json")
    if path.exists() and note.exists():
        before = _read_json(note)
        is_same = before.get("made_from") == made_from and before.get("bytes") == path.stat().st_size
        if is_same and not before.get("skipped"):  # broken samples may have been repaired
            return before
    tallies, skipped, left_out = [], [], []
    try:
        with written_whole(path) as scratch, tf.io.TFRecordWriter(str(scratch)) as writer:
            for _, outcome in outcomes:
                if isinstance(outcome, Sample):
                    writer.write(_encode(outcome))
                    tallies.append(tally(outcome))
                else:
                    (left_out if isinstance(outcome, LeftOut) else skipped).append(str(outcome))
                on_sample()
    except tf.errors.OpError as error:  # usually a full disk
        raise RecordError(f"{path} cannot be written: {error.message}") from error
    content = merge(tallies) | {"skipped": skipped, "left_out": left_out}
    content |= {"made_from": made_from, "bytes": path.stat().st_size, "sha256": _checksum(path)}
    with written_whole(note) as scratch:
        scratch.write_text(json.dumps(content, indent=1))
    return content


def write_index(folder: Path, dataset: str, split: str, shards: dict[str, dict]) -> dict:
    """Adds a split to the folder's index: its shards (name -> note), counts, statistics and missing samples."""
    path = folder / INDEX
    index = _read_json(path) if path.exists() else {}
    if index.get("version") != RECORD_VERSION:
        index = {"version": RECORD_VERSION, "dataset": dataset, "splits": {}}
    content = merge(list(shards.values())) | {
        name: [message for shard in sorted(shards) for message in shards[shard][name]]
        for name in ("skipped", "left_out")
    }
    index["splits"][split] = content | {"shards": {name: shards[name]["sha256"] for name in sorted(shards)}}
    with written_whole(path) as scratch:
        scratch.write_text(json.dumps(index, indent=1))
    for old in {*folder.glob(f"{split}-*-of-*.tfrecord"), *folder.glob(f"{split}-*-of-*.json")}:
        if old.with_suffix(".tfrecord").name not in shards:
            old.unlink()  # left by an earlier split of another size
    return content


def verify(folder: str | Path) -> list[str]:
    """Compares the records of a folder with their checksums. Returns a list of errors, empty if there are none."""
    path = Path(folder) / INDEX
    index = _checked_version(path, _read_json(path))
    wrong = []
    for split, content in index.get("splits", {}).items():
        for name, wanted in content["shards"].items():
            path = Path(folder) / name
            if not path.is_file():
                wrong.append(f"{split}: {path} is missing")
            elif _checksum(path) != wanted:
                wrong.append(f"{split}: {path} has changed since it was written")
    return wrong


def read_index(folder: str | Path, split: str) -> tuple[list[str], dict]:
    """Reads the paths of a split's shards and its counts.

    Raises:
      RecordError: no index, no such split, or a shard is missing.
    """
    path = Path(folder) / INDEX
    if not path.is_file():
        raise RecordError(f"{folder} holds no {INDEX}: write records first with hiu prepare")
    splits = _checked_version(path, _read_json(path)).get("splits", {})
    if split not in splits:
        raise RecordError(f"{path} has no split {split!r}, only {sorted(splits)}")
    try:
        names, counts = splits[split]["shards"], splits[split]["counts"]
        samples, _ = counts["samples"], dict(names)
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(f"{path}: split {split!r} is damaged: prepare it again ({error!r})") from error
    if not samples:
        raise RecordError(f"{path}: split {split!r} holds no samples")
    for name in names:
        _check_shard(Path(folder) / name, splits[split]["shards"][name])
    return [str(Path(folder) / name) for name in names], counts


def damaged_shards(folder: str | Path, split: str) -> dict[str, int]:
    """Shards of a split that cannot be read to their end -> number of their first records that can be read."""
    damaged = {}
    for shard in read_index(folder, split)[0]:
        count = 0
        try:
            for _ in tf.data.TFRecordDataset(shard):
                count += 1
        except tf.errors.OpError:
            damaged[shard] = count
    return damaged


def has_split(folder: str | Path, split: str) -> bool:
    """Whether a folder of records contains the split."""
    path = Path(folder) / INDEX
    return path.is_file() and split in _checked_version(path, _read_json(path)).get("splits", {})


def _checked_version(path, index):
    if index.get("version") != RECORD_VERSION:
        raise RecordError(f"{path} is of version {index.get('version')}, expected {RECORD_VERSION}: prepare it again")
    return index


def dataset_of(folder: str | Path) -> str | None:
    """Name of the data set whose records a folder contains, by its index; None if the index names none."""
    return _read_json(Path(folder) / INDEX).get("dataset")


def refuse_other_set(folder: Path, dataset: str) -> None:
    """Raises RecordError if the folder contains records of another data set."""
    before = dataset_of(folder) if (folder / INDEX).exists() else dataset
    if before != dataset:
        raise RecordError(f"{folder} holds records of {before}: give {dataset} another --out")


def _checksum(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _check_shard(path, checksum):
    """Compares a shard's size with its note, to find truncated shards before training starts."""
    if not path.is_file():
        raise RecordError(f"{path} is missing: prepare it again")
    note = _read_json(path.with_suffix(".json"))
    if note.get("sha256") != checksum:
        raise RecordError(f"{path} is not the shard that {INDEX} knows: another set was written here, prepare it again")
    wanted, found = note.get("bytes"), path.stat().st_size
    if wanted != found:
        raise RecordError(f"{path} has {found} bytes, written were {wanted}: it is damaged, prepare it again")


def _read_json(path):
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise RecordError(f"{path} cannot be read: prepare the records again ({error})") from error
    if not isinstance(content, dict):
        raise RecordError(f"{path} is damaged: prepare the records again")
    return content


def parse(serialized: tf.Tensor, mesh: bool = False, mesh_size: int | None = None) -> dict[str, tf.Tensor]:
    """Parses serialized records [B] to a dictionary of tensors (keys.py); pictures and masks stay encoded.

    Args:
      serialized: [B] strings.
      mesh: whether to read vertices [B, V, 3] and has_mesh [B], too, and the hand model's shape [B, 10],
        pose [B, 15, 3], rotation [B, 3, 3] and has_parameters [B].
      mesh_size: V. Meshes and parameters of hand models of another size get weight 0; None: all records with a mesh need
        the same V.
    """
    features = {
        keys.IMAGE: tf.io.FixedLenFeature([], tf.string),
        keys.MASK: tf.io.FixedLenFeature([], tf.string),
        keys.SAMPLE_ID: tf.io.FixedLenFeature([], tf.string),
        keys.DATASET: tf.io.FixedLenFeature([], tf.string),
        keys.SIDE: tf.io.FixedLenFeature([], tf.int64),
        keys.PICTURE_SIZE: tf.io.FixedLenFeature([2], tf.int64),
        keys.NO_HAND: tf.io.FixedLenFeature([], tf.int64, 0),  # records of earlier versions do not have it
    }
    features |= {name: tf.io.FixedLenFeature(shape, tf.float32) for name, shape in _FIXED.items()}
    if mesh:
        features[keys.VERTICES] = tf.io.VarLenFeature(tf.float32)
        # Records of earlier versions do not have them.
        features |= {name: tf.io.FixedLenFeature(s, tf.float32, np.zeros(s)) for name, s in _PARAMETERS.items()}
    records = tf.io.parse_example(serialized, features)
    records[keys.SIDE] = tf.cast(records.pop(keys.SIDE), tf.int32)
    records[keys.NO_HAND] = tf.cast(records.pop(keys.NO_HAND), tf.float32)
    records |= {keys.EMPTY_HEATMAPS: records[keys.NO_HAND], keys.EMPTY_MASK: records[keys.NO_HAND]}
    records[keys.MASK_WEIGHT] = tf.cast(tf.strings.length(records[keys.MASK]) > 0, tf.float32)
    if mesh:
        flat, count = records.pop(keys.VERTICES), tf.size(serialized)
        lengths = tf.math.bincount(tf.cast(flat.indices[:, 0], tf.int32), minlength=count)
        values, has_parameters = tf.sparse.to_dense(flat), tf.reduce_any(records[keys.ROTATION] != 0, axis=[1, 2])
        fits = lengths > 0
        if mesh_size is not None:
            fits = lengths == 3 * mesh_size
            missing = tf.maximum(3 * mesh_size - tf.shape(values)[1], 0)
            values = tf.pad(values, [[0, 0], [0, missing]])[:, : 3 * mesh_size]
            values = tf.where(fits[:, tf.newaxis], values, 0.0)
            has_parameters &= fits | (lengths == 0)
        records[keys.VERTICES] = tf.reshape(values, [count, mesh_size or -1, 3])
        records[keys.HAS_MESH] = tf.cast(fits, tf.float32)
        records[keys.HAS_PARAMETERS] = tf.cast(has_parameters, tf.float32)
    return records


def decode(serialized: bytes) -> Sample:
    """Decodes one serialized record to the sample from which it was written."""
    feature = tf.train.Example.FromString(serialized).features.feature
    text = {
        name: feature[name].bytes_list.value[0]
        for name in (keys.IMAGE, keys.MASK, keys.SAMPLE_ID, keys.GROUP, keys.DATASET)
    }
    height, width = feature[keys.PICTURE_SIZE].int64_list.value
    arrays = {
        name: np.array(feature[name].float_list.value, np.float32).reshape(shape)
        for name, shape in (_FIXED | _PARAMETERS | {keys.VERTICES: [-1, 3]}).items()
        if feature[name].float_list.value
    }
    return Sample(
        image=text.pop(keys.IMAGE),
        mask=text.pop(keys.MASK),
        **{name: value.decode() for name, value in text.items()},
        side=feature[keys.SIDE].int64_list.value[0],
        no_hand=any(feature[keys.NO_HAND].int64_list.value),
        height=height,
        width=width,
        **arrays,
    )


_FIXED = {
    keys.JOINTS_2D: [NUM_JOINTS, 2],
    keys.JOINTS_2D_WEIGHT: [NUM_JOINTS],
    keys.JOINTS_3D: [NUM_JOINTS, 3],
    keys.JOINTS_3D_WEIGHT: [NUM_JOINTS],
    keys.VISIBLE: [NUM_JOINTS],
    keys.INTRINSICS: [3, 3],
    keys.BOX: [4],
}
_PARAMETERS = {keys.SHAPE: [10], keys.POSE: [15, 3], keys.ROTATION: [3, 3]}


def _encode(sample: Sample) -> bytes:
    def text(value):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    def floats(value):
        return tf.train.Feature(float_list=tf.train.FloatList(value=np.ravel(value)))

    def integers(*value):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=value))

    feature = {
        keys.IMAGE: text(sample.image),
        keys.MASK: text(sample.mask),
        keys.SAMPLE_ID: text(sample.sample_id.encode()),
        keys.GROUP: text((sample.group or sample.sample_id).encode()),
        keys.DATASET: text(sample.dataset.encode()),
        keys.SIDE: integers(sample.side),
        keys.NO_HAND: integers(int(sample.no_hand)),
        keys.PICTURE_SIZE: integers(sample.height, sample.width),
        keys.VERTICES: floats(sample.vertices),
    }
    feature |= {name: floats(getattr(sample, name)) for name in (*_FIXED, *_PARAMETERS)}
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString(deterministic=True)
