"""The whole input pipeline: its output, and that a hidden label has no influence."""

import dataclasses
from collections import Counter

import cv2
import numpy as np
import pytest
import tensorflow as tf

from hiu_tf.config.schema import AugmentConfig, DataConfig, LossConfig, Recipe, TrainConfig
from hiu_tf.conventions import keys
from hiu_tf.errors import ConfigError
from hiu_tf.tasks.agreement import AGREEMENTS
from hiu_tf.training.trainer import HIUTrainer
from pipelines.build import evaluation_data, finish, finished_data, training_data
from pipelines.crop import inside
from pipelines.datasets import open_split
from pipelines.mixing import background_records, mixed_records
from pipelines.records import RecordError, parse, write_index, write_shard
from tests.conformance.test_losses import batch_values

TRAIN = TrainConfig(batch_size=4, seed=5, shuffle=4)

#: No augmentation at all: equal samples give equal pictures.
STILL = {
    "crop_scale": (1.5, 1.5), "gamma": (1.0, 1.0),
    **dict.fromkeys(("rotation_deg", "translation", "brightness", "contrast", "saturation", "hue", "noise"), 0.0),
    **dict.fromkeys([f"{name}_probability" for name in ("grey", "blur", "shuffle", "cutout", "background")], 0.0),
}  # fmt: skip


def recipe(**labels):
    return Recipe(model="tiny", data={"synthetic": DataConfig(path="synthetic", **labels)}, train=TRAIN)


def test_training_batches(rendered_records):
    image, targets = next(iter(finished_data(recipe(), rendered_records, 64)))
    assert image.shape == (4, 64, 64, 3)
    assert targets[keys.HEATMAPS].shape == (4, 32, 32, 21)
    assert targets[keys.POF].shape == (4, 32, 32, 60)
    assert targets[keys.MASK].shape == (4, 64, 64, 1)
    assert set(np.unique(targets[keys.SSL_WEIGHT])) == {1.0}


@pytest.mark.parametrize(("joints", "mask"), [(1.0, 1.0), (0.25, 0.5), (0.0, 0.0)])
def test_the_weights_of_a_set_without_hands_count(with_backgrounds, joints, mask):
    """Its labels are empty heat maps and an empty mask."""
    sets = {"red": DataConfig(path="red", joints_2d=joints, mask=mask)}
    _, targets = next(iter(finished_data(dataclasses.replace(recipe(), data=sets), with_backgrounds, 64)))
    assert not targets[keys.MASK].numpy().any()
    assert not (targets[keys.HEATMAPS].numpy().any() and joints)
    np.testing.assert_allclose(targets[keys.HEATMAPS_WEIGHT], joints)
    np.testing.assert_allclose(targets[keys.MASK_WEIGHT], mask)
    assert not targets[keys.JOINTS_2D_WEIGHT].numpy().any()


def test_hands_that_are_cut_off_take_no_part_in_self_supervision(rendered_records):
    made = dataclasses.replace(recipe(), augment=AugmentConfig(edge_probability=1.0))
    _, targets = next(iter(finished_data(made, rendered_records, 64)))
    assert not targets[keys.WHOLE].numpy().any() and not targets[keys.SSL_WEIGHT].numpy().any()
    assert targets[keys.HEATMAPS_WEIGHT].numpy().any() and targets[keys.MASK_WEIGHT].numpy().all()


def test_equal_seeds_equal_batches(rendered_records):
    first, second = (next(iter(finished_data(recipe(), rendered_records, 64)))[0].numpy() for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_a_later_start_goes_on_with_what_would_have_come(rendered_records):
    """A later start in the middle of an epoch gives the same pictures and augmentation."""
    whole = list(finished_data(recipe(), rendered_records, 64).take(6).as_numpy_iterator())
    rest = list(finished_data(recipe(), rendered_records, 64, start=4).take(2).as_numpy_iterator())
    for (image, targets), (image_again, targets_again) in zip(whole[4:], rest):
        np.testing.assert_array_equal(image, image_again)
        for name, target in targets.items():
            np.testing.assert_array_equal(target, targets_again[name], err_msg=name)


@pytest.fixture(scope="module")
def with_backgrounds(rendered_records, tmp_path_factory):
    """The data root of rendered hands with two folders of windows too, plain red and plain blue, so that they are known again."""
    root = tmp_path_factory.mktemp("backgrounds")
    (root / "synthetic").symlink_to(rendered_records / "synthetic")
    split = open_split("no_hand", "none", "train", (("drawn", "6"),))
    for name, colour in (("red", (0, 0, 255)), ("blue", (255, 0, 0))):
        (root / name).mkdir()
        plain = cv2.imencode(".png", np.full((256, 256, 3), colour, np.uint8))[1].tobytes()
        windows = [(key, dataclasses.replace(sample, image=plain)) for key, sample in split.outcomes()]
        shards = {f"train-{n}.tfrecord": windows[3 * n : 3 * n + 3] for n in range(2)}
        write_index(
            root / name, "no_hand", "train", {s: write_shard(root / name / s, part) for s, part in shards.items()}
        )
    return root


def before(backgrounds, batch_size=4, **augment):
    """A recipe whose hands all stand in front of these backgrounds."""
    config = AugmentConfig(**STILL | {"background_probability": 1.0} | augment, backgrounds=backgrounds)
    train = dataclasses.replace(TRAIN, batch_size=batch_size)
    return dataclasses.replace(recipe(), augment=config, train=train)


def test_pictures_without_hands_become_backgrounds(with_backgrounds):
    """Behind every hand the red of the windows, at any angle; on the hand none of it."""
    for batch in training_data(before(("red",)), with_backgrounds, 64).take(4):
        assert np.all(batch[keys.BACKGROUND] == [255, 0, 0])
        seen = inside(batch, 64)[..., 0].numpy() > 0
        image, targets = finish(batch, before(("red",)), 64)
        red = np.all(np.abs(image - [1.0, 0, 0]) < 0.02, axis=-1)
        mask = targets[keys.MASK][..., 0].numpy()
        assert red[(mask == 0) & seen].all() and (mask == 0).mean() > 0.3
        assert not red[mask == 1].any()


def test_every_folder_of_backgrounds_is_drawn(with_backgrounds):
    drawn = [b[keys.BACKGROUND][:, 0, 0] for b in training_data(before(("red", "blue")), with_backgrounds, 64).take(12)]
    assert 0.2 < np.concatenate(drawn)[:, 0].mean() / 255 < 0.8
    unused = before(("red",), background_probability=0.0)
    assert keys.BACKGROUND not in next(iter(training_data(unused, with_backgrounds, 64)))


def test_backgrounds_too_go_on_where_they_were(with_backgrounds):
    """Batches of six, for which two windows are cut; two workers share none."""
    made = before(("red", "blue"), batch_size=6)
    whole = list(training_data(made, with_backgrounds, 64).take(5).as_numpy_iterator())
    rest = list(training_data(made, with_backgrounds, 64, start=3).take(2).as_numpy_iterator())
    for batch, again in zip(whole[3:], rest):
        for name, value in batch.items():
            np.testing.assert_array_equal(value, again[name], err_msg=name)
    windows = [background_records(made, with_backgrounds, worker, 2).take(12) for worker in (0, 1)]
    first, second = ({record.numpy() for record in part} for part in windows)
    assert first and second and not first & second


def test_backgrounds_that_cannot_be_used_are_said(rendered_records):
    for folder, words in (("streets", "streets does not exist"), ("synthetic", "synthetic has 12 hands, but takes")):
        with pytest.raises(RecordError, match=words):
            training_data(before((folder,)), rendered_records, 64)
    with pytest.raises(ConfigError, match="augment.backgrounds must be names of folders"):
        AugmentConfig(backgrounds=("",))


def sample_ids(recipe, root, count, **worker):
    """Ids of the first `count` samples of a mix."""
    serialized = [record for record, _ in mixed_records(recipe, root, **worker).take(count)]
    return [name.decode() for name in parse(tf.stack(serialized))[keys.SAMPLE_ID].numpy()]


def test_an_epoch_shows_every_sample_as_often_as_its_set_is_repeated(rendered_records):
    sets = {
        "once": DataConfig(path="synthetic", fold=(0.0, 0.5)),
        "thrice": DataConfig(path="synthetic", fold=(0.5, 1.0), repeat=3),
        "never": DataConfig(path="synthetic", repeat=0),
    }
    mix = Recipe(model="tiny", data=sets, train=TrainConfig(mix="epoch", seed=5, shuffle=100))
    names = sample_ids(mix, rendered_records, 100)
    epoch = next(
        n for n in range(12, 37) if len(set(names[:n])) == 12 and sorted(names[:n]) == sorted(names[n : 2 * n])
    )
    assert set(Counter(names[:epoch]).values()) == {1, 3}
    assert names[:epoch] != names[epoch : 2 * epoch]  # every epoch in an order of its own


def test_workers_share_no_sample(rendered_records, tmp_path):
    folder = tmp_path / "synthetic"
    folder.mkdir()
    shards = {}
    for part in range(4):
        name = f"train-{part:05d}-of-00004.tfrecord"
        shards[name] = write_shard(folder / name, open_split("synthetic", "12", "train").outcomes(part, 4))
    write_index(folder, "synthetic", "train", shards)
    parts = [set(sample_ids(recipe(), tmp_path, 60, worker=k, workers=2)) for k in range(2)]
    assert not parts[0] & parts[1]
    assert len(parts[0] | parts[1]) == 12
    with pytest.raises(RecordError, match="has 4 shards for 5 workers"):
        mixed_records(recipe(), tmp_path, worker=0, workers=5)


def test_shares_hold(rendered_records):
    """Draws from two sets follow their shares within four standard deviations."""
    sets = {"a": DataConfig(path="synthetic", share=3.0), "b": DataConfig(path="synthetic", share=1.0)}
    mix = Recipe(model="tiny", data=sets, train=TrainConfig(seed=1))
    numbers = [int(number) for _, number in mixed_records(mix, rendered_records).take(800)]
    assert abs(np.mean(numbers) - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 800)


def test_evaluation_passes_once_in_order(rendered_records):
    batches = list(evaluation_data(rendered_records / "synthetic", "val", 64, 4).as_numpy_iterator())
    assert [len(batch[keys.IMAGE]) for batch in batches] == [4, 2]
    ids = [name for batch in batches for name in batch[keys.SAMPLE_ID]]
    assert ids == sorted(ids)


def test_joints_outside_of_a_crop_are_told(rendered_records):
    """A crop of half the box leaves joints out; with one of all of it every joint is inside."""
    folder = rendered_records / "synthetic"
    for scale, some in ((0.5, True), (1.5, False)):
        for batch in evaluation_data(folder, "val", 64, 4, scale=scale).as_numpy_iterator():
            beyond = np.any((batch[keys.JOINTS_2D] < 0) | (batch[keys.JOINTS_2D] > 63), axis=-1)
            np.testing.assert_array_equal(batch[keys.JOINTS_OUTSIDE], beyond.sum(axis=1))
            assert (batch[keys.JOINTS_OUTSIDE] > 0).all() == some


def test_missing_records_are_named(tmp_path):
    with pytest.raises(RecordError, match="does not exist: write its records"):
        training_data(recipe(), tmp_path, 64)


HIDDEN = {
    ("joints_2d",): ("heatmaps", "joints_2d"),
    ("joints_3d",): ("bone_direction", "joints_3d"),
    ("joints_2d", "joints_3d"): ("pof",),
    ("mask",): ("mask", "silhouette"),
    ("ssl",): tuple(AGREEMENTS),
}


def gradient(names, targets, image, trainer):
    """Gradient of some losses with respect to every weight of the network."""
    with tf.GradientTape() as tape:
        values = batch_values(names, targets, trainer.predictions(image, training=False))
        total = tf.add_n(list(values.values()))
    variables = trainer.network.trainable_variables
    return total, tape.gradient(total, variables, unconnected_gradients="zero")


@pytest.fixture(scope="module")
def trainer(tiny_network, hand):
    return HIUTrainer(tiny_network, hand, LossConfig({"joints_3d": 1.0}), TrainConfig())


@pytest.mark.parametrize("labels", HIDDEN, ids="+".join)
def test_a_label_hidden_by_the_recipe_changes_no_gradient(labels, rendered_records, trainer):
    """Through the whole path from the record to the gradient of every weight."""
    hidden = recipe(**dict.fromkeys(labels, 0.0))
    image, targets = next(iter(finished_data(hidden, rendered_records, 64)))
    total, found = gradient(HIDDEN[labels], targets, image, trainer)
    assert float(total) == 0
    assert not any(np.any(part) for part in found)


@pytest.mark.parametrize("label", ["joints_2d", "joints_3d", "mask", "ssl"])
def test_a_set_without_a_label_does_not_change_the_gradient_of_the_others(label, rendered_records, trainer):
    """Two sets in one batch: the hidden labels of one of them may have any value."""
    sets = {"with": DataConfig(path="synthetic"), "without": DataConfig(path="synthetic", **{label: 0.0})}
    mix = Recipe(model="tiny", data=sets, train=dataclasses.replace(TRAIN, batch_size=8, seed=3))
    image, targets = next(iter(finished_data(mix, rendered_records, 64)))
    weight_of = {
        "joints_2d": keys.JOINTS_2D_WEIGHT,
        "joints_3d": keys.JOINTS_3D_WEIGHT,
        "mask": keys.MASK_WEIGHT,
        "ssl": keys.SSL_WEIGHT,
    }
    hidden = targets[weight_of[label]].numpy().reshape(8, -1).max(axis=1) == 0
    assert 0 < hidden.sum() < 8
    names = [name for labels, losses in HIDDEN.items() if labels == (label,) for name in losses]
    _, before = gradient(names, targets, image, trainer)
    told = {
        "joints_2d": (keys.JOINTS_2D, keys.HEATMAPS),
        "joints_3d": (keys.JOINTS_3D,),
        "mask": (keys.MASK,),
        "ssl": (),
    }
    wrong = {
        name: tf.where(hidden.reshape(-1, *[1] * (targets[name].ndim - 1)), 17.0, targets[name]) for name in told[label]
    }
    _, after = gradient(names, targets | wrong, image, trainer)
    for one, other in zip(before, after):
        np.testing.assert_array_equal(one, other)


@pytest.mark.long
def test_folds_cut_a_set_into_parts_that_share_no_sample(rendered_records):
    """Always the same samples, whatever the seed; together the folds are the set."""

    def pictures(fold, seed):
        config = DataConfig(path="synthetic", fold=fold)
        plain = AugmentConfig(**STILL)
        some = Recipe(model="tiny", data={"s": config}, augment=plain, train=TrainConfig(seed=seed, batch_size=48))
        images, _ = next(iter(finished_data(some, rendered_records, 64)))
        return {image.tobytes() for image in np.round(images.numpy() * 255).astype(np.uint8)}

    first, rest, everything = pictures((0, 0.5), 1), pictures((0.5, 1), 1), pictures((0, 1), 1)
    assert first and rest and not first & rest
    assert first | rest == everything
    assert first == pictures((0, 0.5), 2)


def test_an_empty_fold_is_refused(rendered_records):
    with pytest.raises(RecordError, match="no sample falls into the fold"):
        training_data(recipe(fold=(0.0, 1e-6)), rendered_records, 64)
