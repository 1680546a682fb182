"""Fits of samples: rendered hands whose mesh is known, their mirror images, and what is refused."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import tensorflow as tf

from hiu_tf.conventions import keys
from hiu_tf.errors import UserError
from hiu_tf.geometry.camera import project
from hiu_tf.hand.layer import pose_hand
from hiu_tf.hand.procedural import procedural_hand
from hiu_tf.programs.fit_hands import main
from hiu_tf.runtime.predictor import Predictor
from pipelines.crop import place
from pipelines.datasets import open_split
from pipelines.meshes import fit_samples
from pipelines.records import decode, parse, read_index, write_index, write_shard
from pipelines.schema import LEFT, UNKNOWN


@pytest.fixture(scope="module")
def samples():
    split = open_split("synthetic", "6", "val")
    return split.load_many(list(split.keys))


def without_mesh(sample):
    return replace(sample, vertices=np.zeros((0, 3)), rotation=np.zeros((3, 3)), mask=b"")


def mirrored(sample):
    """The mirrored sample, a left hand."""
    picture = cv2.imdecode(np.frombuffer(sample.image, np.uint8), cv2.IMREAD_COLOR)[:, ::-1]
    flat, camera = sample.joints_2d.copy(), sample.intrinsics.copy()
    flat[:, 0], camera[0, 2] = sample.width - 1 - flat[:, 0], sample.width - 1 - camera[0, 2]
    return replace(
        sample,
        image=cv2.imencode(".png", picture)[1].tobytes(),
        side=LEFT,
        joints_2d=flat,
        joints_3d=sample.joints_3d * [-1, 1, 1],
        intrinsics=camera,
    )


def write(folder, samples):
    note = write_shard(folder / "train-0.tfrecord", [(s.sample_id, s.validate()) for s in samples])
    write_index(folder, "synthetic", "train", {"train-0.tfrecord": note})
    return list(tf.data.TFRecordDataset(str(folder / "train-0.tfrecord")))


def test_a_shard_without_samples_stays_empty(samples, tmp_path):
    """A small set has a shard for each hand; that of a picture that was skipped holds none."""
    (tmp_path / "in").mkdir()
    for name, some in (("train-0.tfrecord", []), ("train-1.tfrecord", samples[:1])):
        write_shard(tmp_path / "in" / name, [(s.sample_id, s.validate()) for s in some])
    notes = {p.with_suffix(".tfrecord").name: json.loads(p.read_text()) for p in (tmp_path / "in").glob("train-*.json")}
    write_index(tmp_path / "in", "synthetic", "train", notes)
    assert main([str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 0
    shards, counts = read_index(tmp_path / "out", "train")
    assert len(shards) == 2 and counts["samples"] == 1


def test_rendered_hands_are_found(samples):
    fits = fit_samples([without_mesh(sample) for sample in samples], procedural_hand(), measured=True)
    assert [fit.refused for fit in fits] == [""] * len(samples)
    for fit, truth in zip(fits, samples):
        assert np.linalg.norm(fit.sample.vertices - truth.vertices, axis=1).mean() < 0.004
        assert fit.error_2d < 0.01
        mask = cv2.imdecode(np.frombuffer(fit.sample.mask, np.uint8), cv2.IMREAD_GRAYSCALE) > 127
        true = cv2.imdecode(np.frombuffer(truth.mask, np.uint8), cv2.IMREAD_GRAYSCALE) > 127
        assert (mask & true).sum() > 0.95 * true.sum()


def test_a_left_hand_is_fitted_as_the_mirror_image(samples):
    right = fit_samples([without_mesh(samples[0])], procedural_hand())[0].sample
    left = fit_samples([without_mesh(mirrored(samples[0]))], procedural_hand())[0].sample
    np.testing.assert_allclose(left.vertices, right.vertices * [-1, 1, 1], atol=1e-5)
    np.testing.assert_allclose(left.pose, right.pose, atol=1e-4)
    np.testing.assert_allclose(left.rotation, np.diag([-1, 1, 1]) @ right.rotation, atol=1e-4)


def mask_of(sample):
    return cv2.imdecode(np.frombuffer(sample.mask, np.uint8), cv2.IMREAD_GRAYSCALE)


def with_mask(sample, mask):
    return replace(without_mesh(sample), mask=cv2.imencode(".png", mask)[1].tobytes())


def error_of(fit, truth):
    return np.linalg.norm(fit.sample.vertices - truth.vertices, axis=1).mean()


def beside(sample):
    """The sample with all its joints labelled a little to the right, as by a tracker that errs."""
    shift = np.array([0.02 * np.ptp(sample.joints_2d, axis=0).max(), 0.0], np.float32)
    return replace(sample, joints_2d=sample.joints_2d + shift)


def test_a_mask_corrects_labels_that_err(samples):
    """Of right and left hands, beside a hand without a mask in the same batch."""
    for flip in (lambda sample: sample, mirrored):
        truths = [flip(sample) for sample in samples[:3]]
        masks = [mask_of(s) if flip is not mirrored else mask_of(s)[:, ::-1] for s in samples[:3]]
        given = [beside(with_mask(*both)) for both in zip(truths, masks)]
        bare = [replace(sample, mask=b"") for sample in given]
        fits = fit_samples([*given, bare[0]], procedural_hand())
        without = fit_samples(bare, procedural_hand())
        drawn = lambda fit: project(fit.sample.vertices, fit.sample.intrinsics)
        for fit, old, truth in zip(fits, without, truths):
            assert not fit.refused and fit.sample.mask
            true = project(truth.vertices, truth.intrinsics).mean(axis=0)
            assert abs((drawn(fit).mean(axis=0) - true)[0]) < abs((drawn(old).mean(axis=0) - true)[0])
            assert fit.mask_iou > 0.85
        assert np.isnan(fits[3].mask_iou)
        np.testing.assert_allclose(fits[3].sample.vertices, without[0].sample.vertices, atol=1e-6)


@pytest.mark.parametrize("what", ["empty", "full", "a pixel", "elsewhere", "without the arm"])
def test_a_mask_that_does_not_fit_does_no_harm(samples, what):
    """The hand is the one without a mask, or near it."""
    for sample in samples[:3]:
        mask = mask_of(sample)
        wrist = sample.joints_2d[0]
        towards = sample.joints_2d[[5, 9, 13, 17]].mean(axis=0) - wrist
        y, x = np.mgrid[: sample.height, : sample.width]
        spoiled = {
            "empty": mask * 0,
            "full": mask * 0 + 255,
            "a pixel": np.where((x == 3) & (y == 4), 255, 0).astype(np.uint8),
            "elsewhere": mask[::-1, ::-1],
            "without the arm": mask * ((x - wrist[0]) * towards[0] + (y - wrist[1]) * towards[1] > 0),
        }[what]
        fit, bare = fit_samples([with_mask(sample, spoiled), without_mesh(sample)], procedural_hand())
        assert not fit.refused
        assert error_of(fit, sample) < error_of(bare, sample) + 0.004


def on_hand(sample):
    """Which pixels lie on the fingers' side of the wrist."""
    pixels = np.stack(np.meshgrid(np.arange(sample.width), np.arange(sample.height)), axis=-1)
    return (pixels - sample.joints_2d[0]) @ (sample.joints_2d[[5, 9, 13, 17]].mean(axis=0) - sample.joints_2d[0]) > 0


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_predicted_mask_counts_where_the_mesh_confirms_it(samples, side):
    """A right one corrects the fit, and is kept as far as the wrist, beyond which it may contain the arm or not."""
    truths = [mirrored(sample) if side == "left" else sample for sample in samples[:3]]
    masks = [mask_of(sample)[:, ::-1] if side == "left" else mask_of(sample) for sample in samples[:3]]
    with_arms = [np.where(on_hand(truth), mask, 255).astype(np.uint8) for truth, mask in zip(truths, masks)]
    bare = [beside(without_mesh(truth)) for truth in truths]
    fits = fit_samples(bare, procedural_hand(), predicted=[with_mask(*both).mask for both in zip(truths, with_arms)])
    for fit, before, mask, truth, sample in zip(fits, fit_samples(bare, procedural_hand()), masks, truths, bare):
        assert (fit.mask_from, before.mask_from) == ("predicted", "mesh")
        kept, hand = mask_of(fit.sample) > 127, on_hand(sample) & on_hand(truth)
        np.testing.assert_array_equal(kept[hand], mask[hand] > 127)
        assert kept[~hand].sum() < 0.2 * kept.sum(), "of the arm what the mesh covers"
        flip = [-1 if side == "left" else 1, 1, 1]
        true, corrected, alone = (
            project(vertices, truth.intrinsics).mean(axis=0)[0]
            for vertices in (truth.vertices * flip, fit.sample.vertices, before.sample.vertices)
        )
        assert abs(corrected - true) < abs(alone - true)


def test_a_predicted_mask_that_the_mesh_does_not_confirm_leaves_none(samples):
    """The fit is the one to the joints alone; its silhouette may show what lies before the hand, so it is no mask."""
    bare = [without_mesh(sample) for sample in samples[:3]]
    elsewhere = [with_mask(sample, mask_of(sample)[::-1, ::-1]).mask for sample in samples[:3]]
    alone = fit_samples(bare, procedural_hand())
    for fit, found in zip(alone, fit_samples(bare, procedural_hand(), predicted=elsewhere)):
        np.testing.assert_allclose(found.sample.vertices, fit.sample.vertices, atol=1e-6)
        assert not found.sample.mask and not found.mask_from and not found.refused
    for fit, found in zip(alone, fit_samples(bare, procedural_hand(), predicted=[b""] * 3)):
        assert found.sample.mask == fit.sample.mask and found.mask_from == "mesh"


def test_a_given_mask_goes_before_a_predicted_one(samples):
    """Beside a hand that has the predicted mask alone."""
    given = with_mask(samples[0], mask_of(samples[0]))
    fits = fit_samples([given, without_mesh(samples[1])], procedural_hand(), predicted=[b"never read", samples[1].mask])
    assert fits[0].sample.mask == given.mask and [fit.mask_from for fit in fits] == ["given", "predicted"]


def test_a_mask_that_cannot_be_used_is_said(samples):
    sample = without_mesh(samples[0])
    spoiled = {
        "decoded": replace(sample, mask=b"no picture"),
        "another size": with_mask(sample, mask_of(samples[0])[::2, ::2].copy()),
        "one pixel": replace(sample, joints_2d=np.full((21, 2), 70, np.float32)),
        "not finite": replace(sample, intrinsics=sample.intrinsics * np.nan),
    }
    for words, fit in zip(spoiled, fit_samples(list(spoiled.values()), procedural_hand())):
        assert words in fit.refused
        assert fit.sample is spoiled[words]


def test_what_cannot_be_fitted_keeps_its_labels(samples):
    sample = without_mesh(samples[0])
    few = np.ones(21)
    few[4] = 0
    wrong = sample.joints_2d.copy()
    wrong[:10] = wrong[:10][::-1]
    spoiled = {
        "side": replace(sample, side=UNKNOWN),
        "2D joint": replace(sample, joints_2d_weight=few),
        "3D joint": replace(sample, joints_3d_weight=few),
        "projected joints": replace(sample, joints_2d=wrong),
    }
    for words, fit in zip(spoiled, fit_samples(list(spoiled.values()), procedural_hand())):
        assert words in fit.refused
        assert fit.sample is spoiled[words]


def test_a_record_is_the_sample_that_it_was_written_from(samples, tmp_path):
    record, *_ = write(tmp_path, samples[:1])
    found = decode(record.numpy())
    for name, value in vars(samples[0]).items():
        if isinstance(value, np.ndarray):
            np.testing.assert_allclose(getattr(found, name), value, rtol=1e-6, err_msg=name)
        elif name != "group":  # a sample without a group is one of its own
            assert getattr(found, name) == value


@pytest.mark.parametrize("side", ["right", "left"])
def test_parameters_move_with_the_crop(samples, tmp_path, side):
    """Posing the hand with the transformed parameters gives the transformed mesh."""
    chosen = [mirrored(sample) if side == "left" else sample for sample in samples]
    fits = fit_samples([without_mesh(sample) for sample in chosen], procedural_hand())
    records = write(tmp_path, [fit.sample for fit in fits])
    batch = place(parse(tf.stack(records), mesh=True), 128)
    assert batch[keys.HAS_PARAMETERS].numpy().all()
    rotation = tf.cast(batch[keys.ROTATION], tf.float32)
    np.testing.assert_allclose(np.linalg.det(rotation), 1, atol=1e-5)
    posed = pose_hand(procedural_hand(), batch[keys.SHAPE], batch[keys.POSE], rotation, tf.zeros([len(chosen), 3]))
    from_wrist = lambda values: values[keys.VERTICES] - values[keys.JOINTS_3D][:, :1]
    np.testing.assert_allclose(from_wrist(posed), from_wrist(batch), atol=1e-5)


def test_the_program_writes_records_table_sheet_and_poses(samples, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    write(tmp_path / "in", [without_mesh(samples[0]), replace(without_mesh(samples[1]), side=UNKNOWN)])
    out = tmp_path / "out"
    assert main([str(tmp_path / "in"), "--out", str(out), "--measured"]) == 0
    assert "1 of 2 hands have a mesh" in capsys.readouterr().out
    assert len((out / "fits.csv").read_text().splitlines()) == 3
    assert cv2.imread(str(out / "fits.png")) is not None
    fitted, kept = (decode(r.numpy()) for r in tf.data.TFRecordDataset(str(out / "train-0.tfrecord")))
    assert len(fitted.vertices) and not len(kept.vertices)
    split = open_split("synthetic", "20", "train", (("poses", str(tmp_path)),))
    like_real = [s for s in split.load_many(list(split.keys)) if np.abs(s.pose - fitted.pose).mean() < 0.1]
    assert len(like_real) > 5


def test_the_program_predicts_masks(samples, tmp_path, capsys):
    """With the model that ships: masks like the rendered ones. A picture that cannot be read is said, and the others go on."""
    (tmp_path / "in").mkdir()
    broken = replace(without_mesh(samples[3]), image=b"GIF89a", sample_id="broken")
    write(tmp_path / "in", [*map(without_mesh, samples[:2]), without_mesh(mirrored(samples[2])), broken])
    assert main([str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--predict-masks", "--sheet", "1"]) == 0
    said = capsys.readouterr()
    assert "masks: 3 predicted, 1 silhouettes of the mesh" in said.out and "no mask predicted: broken" in said.err
    found = [decode(r.numpy()) for r in tf.data.TFRecordDataset(str(tmp_path / "out" / "train-0.tfrecord"))]
    for sample, truth in zip(found[:3], samples):
        true = mask_of(truth) > 127 if sample.side != LEFT else mask_of(truth)[:, ::-1] > 127
        predicted = mask_of(sample) > 127
        assert (predicted & true).sum() > 0.85 * (predicted | true).sum()
    assert [line.split(",")[-2] for line in (tmp_path / "out" / "fits.csv").read_text().split()[1:]] == [
        "predicted"
    ] * 3 + ["mesh"]


def test_a_model_without_masks_is_refused_before_any_fit(samples, tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    write(tmp_path / "in", [without_mesh(samples[0])])
    with pytest.raises(SystemExit):
        main([str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--model", "hiu_edge"])
    card = dict(Predictor("hiu_edge").card, outputs={"joints_2d": "x, y"})
    monkeypatch.setattr(Predictor, "__init__", lambda self, *_, **__: setattr(self, "card", card))
    with pytest.raises(UserError, match="hiu_edge predicts no masks"):
        main([str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--predict-masks", "--model", "hiu_edge"])
    assert not (tmp_path / "out").exists()
