"""The whole input path: what comes out, and that a hidden label has no influence."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from hiu_tf.config.schema import AugmentConfig, DataConfig, LossConfig, Recipe, TrainConfig
from hiu_tf.conventions import keys
from hiu_tf.losses.total import SELF_SUPERVISED, loss_values
from hiu_tf.training.trainer import HIUTrainer
from pipelines.build import evaluation_data, training_data
from pipelines.records import RecordError

TRAIN = TrainConfig(batch_size=4, seed=5, shuffle=4)

#: No augmentation at all: equal samples give equal pictures.
STILL = {
    "crop_scale": (1.5, 1.5), "gamma": (1.0, 1.0),
    **dict.fromkeys(("rotation_deg", "translation", "brightness", "contrast", "saturation", "hue", "noise"), 0.0),
    **dict.fromkeys([f"{name}_probability" for name in ("grey", "blur", "cutout", "background")], 0.0),
}  # fmt: skip


def recipe(**labels):
    return Recipe(model="tiny", data={"synthetic": DataConfig(path="synthetic", **labels)}, train=TRAIN)


def test_training_batches(rendered_records):
    image, targets = next(iter(training_data(recipe(), rendered_records, 64)))
    assert image.shape == (4, 64, 64, 3)
    assert targets[keys.HEATMAPS].shape == (4, 32, 32, 21)
    assert targets[keys.POF].shape == (4, 32, 32, 60)
    assert targets[keys.MASK].shape == (4, 64, 64, 1)
    assert set(np.unique(targets[keys.SSL_WEIGHT])) == {1.0}


def test_equal_seeds_equal_batches(rendered_records):
    first, second = (next(iter(training_data(recipe(), rendered_records, 64)))[0].numpy() for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_evaluation_passes_once_in_order(rendered_records):
    batches = list(evaluation_data(rendered_records / "synthetic", "val", 64, 4).as_numpy_iterator())
    assert [len(batch[keys.IMAGE]) for batch in batches] == [4, 2]
    ids = [name for batch in batches for name in batch[keys.SAMPLE_ID]]
    assert ids == sorted(ids)


def test_missing_records_are_named(tmp_path):
    with pytest.raises(RecordError, match="does not exist: write its records"):
        training_data(recipe(), tmp_path, 64)


HIDDEN = {
    "joints_2d": (keys.LOSS_HEATMAPS, keys.LOSS_POF, keys.LOSS_JOINTS_2D),
    "joints_3d": (keys.LOSS_BONE_DIRECTION, keys.LOSS_JOINTS_3D),
    "mask": (keys.LOSS_MASK, keys.LOSS_SILHOUETTE),
    "ssl": SELF_SUPERVISED,
}


@pytest.mark.parametrize("label", HIDDEN)
def test_a_label_hidden_by_the_recipe_changes_no_gradient(label, rendered_records, tiny_network, hand):
    """From the record through augmentation and targets to the gradient of every weight."""
    image, targets = next(iter(training_data(recipe(**{label: 0.0}), rendered_records, 64)))
    trainer = HIUTrainer(tiny_network, hand, dataclasses.replace(LossConfig(), joints_3d=1.0), clip_norm=10.0)
    with tf.GradientTape() as tape:
        values = loss_values(HIDDEN[label], targets, trainer.predictions(image, training=False))
        total = tf.add_n(list(values.values()))
    assert float(total) == 0
    found = tape.gradient(total, tiny_network.trainable_variables, unconnected_gradients="zero")
    assert not any(np.any(gradient) for gradient in found)


def test_folds_cut_a_set_into_parts_that_share_no_sample(rendered_records):
    """Always the same samples, whatever the seed; together the folds are the set."""

    def pictures(fold, seed):
        config = DataConfig(path="synthetic", fold=fold)
        plain = AugmentConfig(**STILL)
        some = Recipe(model="tiny", data={"s": config}, augment=plain, train=TrainConfig(seed=seed, batch_size=48))
        images, _ = next(iter(training_data(some, rendered_records, 64)))
        return {image.tobytes() for image in np.round(images.numpy() * 255).astype(np.uint8)}

    first, rest, everything = pictures((0, 0.5), 1), pictures((0.5, 1), 1), pictures((0, 1), 1)
    assert first and rest and not first & rest
    assert first | rest == everything
    assert first == pictures((0, 0.5), 2)


def test_an_empty_fold_is_refused(rendered_records):
    with pytest.raises(RecordError, match="no sample falls into the fold"):
        training_data(recipe(fold=(0.0, 1e-6)), rendered_records, 64)
