import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from hiu_tf.conventions import keys
from pipelines.datasets import DataSetError, open_split
from pipelines.fit import camera_errors
from pipelines.records import RecordError, parse, read_index, refuse_other_set, verify, write_index, write_shard
from pipelines.schema import LEFT, LeftOut, Sample, SampleError


@pytest.fixture
def samples():
    return [sample for _, sample in open_split("synthetic", "3", "train").outcomes()]


def outcomes(samples):
    return [(str(number), sample) for number, sample in enumerate(samples)]


def rows(path):
    """Reads a shard: one dictionary per record."""
    return tf.data.TFRecordDataset(str(path)).batch(100).map(lambda batch: parse(batch, mesh=True)).unbatch()


def test_round_trip(samples, tmp_path):
    note = write_shard(tmp_path / "a.tfrecord", outcomes(samples))
    every = dict.fromkeys(("samples", "joints_2d", "joints_3d", "mask", "mesh", "right"), 3)
    assert note["counts"] == every | {"left": 0, "unknown": 0, "no_hand": 0}
    depth = np.concatenate([sample.joints_3d[:, 2] for sample in samples])
    assert note["statistics"]["depth_m"]["mean"] == pytest.approx(depth.mean(), rel=1e-5)
    assert note["statistics"]["depth_m"]["max"] == pytest.approx(depth.max(), rel=1e-5)
    for sample, record in zip(samples, rows(tmp_path / "a.tfrecord")):
        assert record[keys.IMAGE].numpy() == sample.image
        assert record[keys.SAMPLE_ID].numpy().decode() == sample.sample_id
        for name in (keys.JOINTS_2D, keys.JOINTS_3D, keys.VISIBLE, keys.BOX, keys.INTRINSICS, keys.VERTICES):
            np.testing.assert_array_equal(record[name], getattr(sample, name))


@pytest.mark.parametrize("size", [1500, 778, 2000])
def test_meshes_of_other_hand_models_have_no_weight(samples, size, tmp_path):
    """Of each sample alone, whatever else is in its batch; what is not of the mesh stays."""
    other = dataclasses.replace(samples[1], vertices=samples[1].vertices[:778])
    none = dataclasses.replace(samples[2], vertices=np.zeros((0, 3), np.float32))
    write_shard(tmp_path / "a.tfrecord", outcomes([samples[0], other, none]))
    serialized = next(iter(tf.data.TFRecordDataset(str(tmp_path / "a.tfrecord")).batch(3)))
    found = parse(serialized, mesh=True, mesh_size=size)
    fits = np.array([size == 1500, size == 778, False])
    np.testing.assert_array_equal(found[keys.HAS_MESH], fits)
    np.testing.assert_array_equal(found[keys.HAS_PARAMETERS], fits | [False, False, True])
    assert found[keys.VERTICES].shape == (3, size, 3) and not found[keys.VERTICES].numpy()[~fits].any()
    for number in np.flatnonzero(fits):
        np.testing.assert_array_equal(found[keys.VERTICES][number], (samples[0], other)[number].vertices)
    assert (found[keys.JOINTS_3D_WEIGHT].numpy() > 0).all()


def test_a_finished_shard_is_not_written_again(samples, tmp_path):
    write_shard(tmp_path / "a.tfrecord", outcomes(samples))
    assert write_shard(tmp_path / "a.tfrecord", iter(()))["counts"]["samples"] == 3


def test_labels_fit_the_camera(samples):
    for sample in samples:
        pixels = sample.joints_3d @ sample.intrinsics.T
        np.testing.assert_allclose(pixels[:, :2] / pixels[:, 2:], sample.joints_2d, atol=1e-3)


def test_rendering_is_reproducible(samples):
    again = [sample for _, sample in open_split("synthetic", "3", "train").outcomes(1, 3)]
    assert [s.sample_id for s in again] == [samples[1].sample_id]
    assert again[0].image == samples[1].image


def test_the_mask_covers_the_hand(samples):
    """Every vertex inside the picture lies on the mask, except at occluders and outlines."""
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
        ({"intrinsics": np.diag([100.0, 100, 1e6])}, r"intrinsics are .*1000000.0\]\], expected fx, 0, cx"),
        ({"intrinsics": np.array([[100.0, 5, 20], [0, 100, 20], [0, 0, 1]])}, r"\(no skew\)"),
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
    note = write_shard(tmp_path / "a.tfrecord", outcomes(samples))
    write_index(tmp_path, "synthetic", "train", {"a.tfrecord": note})
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
    path = tmp_path / "a.tfrecord"
    write_shard(path, outcomes(samples), made_from="first")
    assert write_shard(path, iter(()), made_from="first")["counts"]["samples"] == 3
    assert write_shard(path, outcomes(samples[:1]), made_from="second")["counts"]["samples"] == 1


def test_broken_samples_are_listed_and_the_others_kept(samples, tmp_path):
    some = [
        ("0", samples[0]),
        ("1", SampleError("set/1: no mask")),
        ("2", LeftOut("set/2: no hand")),
        ("3", samples[1]),
    ]
    note = write_shard(tmp_path / "a.tfrecord", some)
    assert note["counts"]["samples"] == 2
    assert (note["skipped"], note["left_out"]) == (["set/1: no mask"], ["set/2: no hand"])
    content = write_index(tmp_path, "set", "train", {"a.tfrecord": note})
    assert content["skipped"] == ["set/1: no mask"]


def test_checksums_find_a_changed_byte(samples, tmp_path):
    path = tmp_path / "a.tfrecord"
    write_index(tmp_path, "set", "train", {"a.tfrecord": write_shard(path, outcomes(samples))})
    assert verify(tmp_path) == []
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert verify(tmp_path) == [f"train: {path} has changed since it was written"]


def test_records_of_an_older_version_are_refused(samples, tmp_path):
    write_index(tmp_path, "set", "train", {"a.tfrecord": write_shard(tmp_path / "a.tfrecord", outcomes(samples))})
    index = tmp_path / "index.json"
    index.write_text(index.read_text().replace('"version": 2', '"version": 1'))
    with pytest.raises(RecordError, match="is of version 1, expected 2: prepare it again"):
        read_index(tmp_path, "train")


def test_a_synthetic_source_is_a_number():
    with pytest.raises(DataSetError, match="number of pictures"):
        open_split("synthetic", "many", "train")


def test_labels_that_do_not_fit_are_named(samples):
    """Errors that a contact sheet or --check must reveal: wrong K, millimetres, key points in reverse order."""
    good = samples[0]
    assert camera_errors(good) == []
    moved = dataclasses.replace(good, intrinsics=good.intrinsics + np.float32([[0, 0, 9], [0, 0, 0], [0, 0, 0]]))
    assert "K X lies 9.0 px from joints_2d" in camera_errors(moved)[0]
    assert "wrong units" in camera_errors(dataclasses.replace(good, joints_3d=good.joints_3d * 1000))[0]
    assert "behind the camera" in camera_errors(dataclasses.replace(good, joints_3d=-good.joints_3d))[0]


def test_an_index_that_names_no_set_takes_no_other(tmp_path):
    (tmp_path / "index.json").write_text('{"version": 2, "splits": {}}')
    with pytest.raises(RecordError, match="holds records of None: give rhd another --out"):
        refuse_other_set(tmp_path, "rhd")
    refuse_other_set(tmp_path / "new", "rhd")
