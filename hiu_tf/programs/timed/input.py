"""Times the input pipeline against decoding and resizing alone, on one core and on all."""

from __future__ import annotations

import itertools
import json
import os
import tempfile
import time
from pathlib import Path

from hiu_tf.programs.timed.timing import in_own_process, median_ms

_SECONDS = 4.0
_PICTURES = 64  # rendered if no records are given
_SHARDS = 200
_CROPS, _FINISHED, _PLAIN = "crops", "with colours and targets", "decode and resize"


def input_table(data: str | None, batches: list[int], sizes: list[int]) -> list[dict]:
    """One row per size, batch and number of cores: pictures a second, and the share of decode-and-resize's rate.

    "crops" is the input pipeline; the training step's device computes colours and targets, here on the same cores.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(data) if data else _rendered(Path(scratch))
        rows = []
        for size, batch, cores in itertools.product(sizes, batches, sorted({1, os.cpu_count()})):
            rates = {
                kind: in_own_process(_rate, kind, folder, batch, size, cores) for kind in (_PLAIN, _CROPS, _FINISHED)
            }
            row = {"size": size, "batch": batch, "cores": cores} | {f"{kind} /s": rate for kind, rate in rates.items()}
            row |= {f"{kind} / plain": rates[kind] / rates[_PLAIN] for kind in (_CROPS, _FINISHED)}
            rows.append(row)
        return rows


def pipeline_rate(data: str | None, batch: int, size: int) -> float:
    """Pictures a second of the input pipeline on all cores that this process may use."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(data) if data else _rendered(Path(scratch))
        return in_own_process(_rate, _CROPS, folder, batch, size, None)


def parts_table(data: str | None, batches: list[int], sizes: list[int]) -> list[dict]:
    """Milliseconds per picture of each step alone, run one after the other on all cores."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(data) if data else _rendered(Path(scratch))
        return [
            {"size": size, "batch": batch} | in_own_process(_time_parts, folder, batch, size)
            for size, batch in itertools.product(sizes, batches)
        ]


def endurance(data: str | None, samples: int, size: int = 64, batch: int = 32) -> dict:
    """Memory use over `samples` samples, start-up with 200 shards, and the time to render one picture."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(data) if data else _rendered(Path(scratch))
        first_batch = in_own_process(_time_start, _many_shards(folder, Path(scratch)), batch, size)
        return in_own_process(_memory, folder, batch, size, samples) | {
            f"s to the first batch of {_SHARDS} shards": first_batch,
            "ms to render a picture": in_own_process(_time_rendering),
        }


def _rendered(scratch):
    from hiu_tf.programs.prepare import prepare

    prepare("synthetic", str(_PICTURES), "train", str(scratch / "synthetic"), workers=os.cpu_count())
    return scratch / "synthetic"


def _recipe(folder, batch):
    from hiu_tf.config.schema import DataConfig, Recipe, TrainConfig

    return Recipe(model="tiny", data={"set": DataConfig(path=folder.name)}, train=TrainConfig(batch_size=batch))


def _rate(kind, folder, batch, size, cores):
    """Pictures a second of one pipeline, limited to the first `cores` cores (None: no limit)."""
    if cores:
        os.sched_setaffinity(0, range(cores))
    import tensorflow as tf

    from pipelines.build import finished_data, training_data
    from pipelines.records import read_index

    def plain(record):
        image = tf.io.parse_single_example(record, {"image": tf.io.FixedLenFeature([], tf.string)})["image"]
        return tf.image.resize(tf.io.decode_image(image, channels=3, expand_animations=False), [size, size])

    if kind == _PLAIN:
        records = tf.data.TFRecordDataset(read_index(folder, "train")[0]).repeat()
        data = records.map(plain, num_parallel_calls=tf.data.AUTOTUNE).batch(batch, drop_remainder=True).prefetch(2)
    else:
        make = training_data if kind == _CROPS else finished_data
        data = make(_recipe(folder, batch), folder.parent, size)
    batches = iter(data)
    for _ in range(4):
        next(batches)
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < _SECONDS:
        next(batches)
        count += batch
    return count / (time.perf_counter() - start)


def _time_parts(folder, batch, size):
    import tensorflow as tf

    from hiu_tf.config.schema import AugmentConfig
    from hiu_tf.conventions import keys
    from pipelines.crop import cut_pictures, place, to_float
    from pipelines.recolour import recolour
    from pipelines.records import parse, read_index
    from pipelines.targets import targets

    serialized = next(iter(tf.data.TFRecordDataset(read_index(folder, "train")[0]).repeat().batch(batch)))
    seed, config = tf.constant([1, 2], tf.int64), AugmentConfig()
    parsed = parse(serialized)
    placed = place(parsed, size, config, seed)
    cut = tf.function(lambda: to_float(cut_pictures(placed, size)), autograph=False)
    crops = cut() | {keys.SSL_WEIGHT: tf.ones([batch])}
    jobs = {
        "parse": lambda: parse(serialized),
        "place": lambda: place(parsed, size, config, seed),
        "decode and cut": cut,
        "recolour": lambda: recolour(crops, config, seed),
        "targets": lambda: targets(crops, size),
    }
    return {f"{name} ms": median_ms(tf.function(job, autograph=False)) / batch for name, job in jobs.items()}


def _time_start(folder, batch, size):
    import tensorflow as tf

    from pipelines.build import training_data

    tf.constant(0)  # exclude TensorFlow's own start
    start = time.perf_counter()
    next(iter(training_data(_recipe(folder, batch), folder.parent, size)))
    return time.perf_counter() - start


def _time_rendering():
    from pipelines.datasets import open_split

    split = open_split("synthetic", str(_PICTURES), "train")
    split.load_many(split.keys[:16])
    start = time.perf_counter()
    split.load_many(split.keys[16:48])
    return 1000 * (time.perf_counter() - start) / 32


def _many_shards(folder, scratch):
    """Copies the first shard of a set many times under other names."""
    from pipelines.records import read_index, write_index

    target = scratch / "many"
    target.mkdir()
    shard = Path(read_index(folder, "train")[0][0])
    note = json.loads(shard.with_suffix(".json").read_text())
    names = [f"train-{number:05d}-of-{_SHARDS:05d}.tfrecord" for number in range(_SHARDS)]
    for name in names:
        for suffix in (".tfrecord", ".json"):
            (target / name).with_suffix(suffix).write_bytes(shard.with_suffix(suffix).read_bytes())
    write_index(target, "many", "train", dict.fromkeys(names, note))
    return target


def _memory(folder, batch, size, samples):
    """Resident megabytes after a tenth of the samples and after all of them."""
    from tqdm import tqdm

    from pipelines.build import training_data

    batches = iter(training_data(_recipe(folder, batch), folder.parent, size))
    steps, found = max(10, samples // batch), {}
    for step in tqdm(range(1, steps + 1), desc="endurance", unit="batch", disable=None):
        next(batches)
        if step in (steps // 10, steps):
            found[f"MB after {step * batch} samples"] = _resident_megabytes()
    return found


def _resident_megabytes():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
