import numpy as np
import pytest
import tensorflow as tf

from hiu_tf.conventions import keys
from pipelines.datasets import DataSetError, reader
from pipelines.records import RecordError, parse, read_index, write_index, write_shard
from pipelines.schema import LEFT, Sample, SampleError


@pytest.fixture
def samples():
    return list(reader("synthetic").read("3", "train", 0, 1))


def rows(path):
    """One dictionary for each record of a shard."""
    return tf.data.TFRecordDataset(str(path)).batch(100).map(lambda batch: parse(batch, mesh=True)).unbatch()


def test_round_trip(samples, tmp_path):
    counts = write_shard(tmp_path / "a.tfrecord", samples)
    assert counts == {"samples": 3, "joints_2d": 3, "joints_3d": 3, "mask": 3, "mesh": 3}
    for sample, record in zip(samples, rows(tmp_path / "a.tfrecord")):
        assert record[keys.IMAGE].numpy() == sample.image
        assert record[keys.SAMPLE_ID].numpy().decode() == sample.sample_id
        for name in (keys.JOINTS_2D, keys.JOINTS_3D, keys.INTRINSICS, keys.VERTICES):
            np.testing.assert_array_equal(record[name], getattr(sample, name))


def test_a_finished_shard_is_not_written_again(samples, tmp_path):
    write_shard(tmp_path / "a.tfrecord", samples)
    assert write_shard(tmp_path / "a.tfrecord", iter(()))["samples"] == 3


def test_labels_fit_the_camera(samples):
    for sample in samples:
        pixels = sample.joints_3d @ sample.intrinsics.T
        np.testing.assert_allclose(pixels[:, :2] / pixels[:, 2:], sample.joints_2d, atol=1e-3)


def test_rendering_is_reproducible(samples):
    again = list(reader("synthetic").read("3", "train", 1, 3))
    assert [s.sample_id for s in again] == [samples[1].sample_id]
    assert again[0].image == samples[1].image


def test_the_mask_covers_the_hand(samples):
    """Every vertex that is in the picture lies on the mask, but for occluders and outlines."""
    for sample in samples:
        mask = tf.io.decode_png(sample.mask).numpy()[..., 0]
        pixels = sample.vertices @ sample.intrinsics.T
        pixels = np.round(pixels[:, :2] / pixels[:, 2:]).astype(int)
        inside = ((pixels >= 0) & (pixels < 256)).all(axis=1)
        assert mask[pixels[inside, 1], pixels[inside, 0]].mean() > 0.5 * 255


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"joints_2d": np.full((21, 2), np.nan)}, "set/7: joints_2d holds values that are not finite"),
        ({"joints_2d": np.zeros((20, 2))}, "joints_2d has shape"),
        ({"image": b""}, "image is empty"),
        ({"side": 5}, "side is 5"),
        ({"joints_3d_weight": np.ones(21)}, "intrinsics are needed"),
        ({"joints_2d_weight": np.zeros(21)}, "labels no joint"),
    ],
)
def test_schema_refuses(change, message):
    good = {
        "dataset": "set",
        "sample_id": "7",
        "image": b"x",
        "width": 4,
        "height": 4,
        "side": LEFT,
        "joints_2d_weight": np.ones(21),
    }
    Sample(**good).validate()
    with pytest.raises(SampleError, match=message):
        Sample(**(good | change)).validate()


def test_index_names_what_is_missing(samples, tmp_path):
    with pytest.raises(RecordError, match="prepare"):
        read_index(tmp_path, "train")
    counts = write_shard(tmp_path / "a.tfrecord", samples)
    write_index(tmp_path, "synthetic", "train", {"a.tfrecord": counts})
    with pytest.raises(RecordError, match="no split 'val'"):
        read_index(tmp_path, "val")
    shard = tmp_path / "a.tfrecord"
    shard.write_bytes(shard.read_bytes()[:-10])
    with pytest.raises(RecordError, match=r"a\.tfrecord has .* damaged"):
        read_index(tmp_path, "train")
    shard.unlink()
    with pytest.raises(RecordError, match=r"a\.tfrecord is missing"):
        read_index(tmp_path, "train")
    (tmp_path / "index.json").write_text("{broken")
    with pytest.raises(RecordError, match="cannot be read"):
        read_index(tmp_path, "train")


def test_a_shard_of_another_source_is_written_again(samples, tmp_path):
    write_shard(tmp_path / "a.tfrecord", samples, made_from="first")
    assert write_shard(tmp_path / "a.tfrecord", iter(()), made_from="first")["samples"] == 3
    assert write_shard(tmp_path / "a.tfrecord", samples[:1], made_from="second")["samples"] == 1


def test_unknown_names():
    with pytest.raises(DataSetError, match="known are"):
        reader("imagenet")
    with pytest.raises(DataSetError, match="unknown split"):
        next(reader("synthetic").read("3", "all", 0, 1))
    with pytest.raises(DataSetError, match="number of pictures"):
        next(reader("synthetic").read("many", "train", 0, 1))
