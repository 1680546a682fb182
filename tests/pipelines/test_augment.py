"""Geometry moves everything together; mirroring; what may not change does not."""

import numpy as np
import pytest
import tensorflow as tf

from hiu_tf.config.schema import AugmentConfig
from hiu_tf.conventions import keys
from pipelines.augment import PLAIN_CROP, crop, recolour
from pipelines.records import parse, read_index
from pipelines.schema import LEFT, RIGHT

SIZE = 128
STRONG = AugmentConfig(rotation_deg=180.0, crop_scale=(1.2, 2.5), translation=0.2)


@pytest.fixture(scope="module")
def records(rendered_records):
    shards, _ = read_index(rendered_records / "synthetic", "val")
    return list(tf.data.TFRecordDataset(shards).map(parse))


def mirrored(record):
    """The same scene in a mirror: picture, mask, K, joints, mesh, side."""
    flip = tf.constant([-1.0, 1, 1])
    picture = tf.io.decode_image(record[keys.IMAGE])
    camera = record[keys.INTRINSICS].numpy()
    width = picture.shape[1]
    camera[0, 2] = width - 1 - camera[0, 2]
    return record | {
        keys.IMAGE: tf.io.encode_png(picture[:, ::-1]),
        keys.MASK: tf.io.encode_png(tf.io.decode_png(record[keys.MASK])[:, ::-1]),
        keys.INTRINSICS: tf.constant(camera),
        keys.JOINTS_2D: tf.constant([width - 1.0, 0]) + record[keys.JOINTS_2D] * [-1.0, 1],
        keys.JOINTS_3D: record[keys.JOINTS_3D] * flip,
        keys.VERTICES: record[keys.VERTICES] * flip,
        keys.SIDE: tf.constant(LEFT if record[keys.SIDE] == RIGHT else RIGHT),
    }


def project(sample, points):
    pixels = points.numpy() @ sample[keys.INTRINSICS].numpy().T
    return pixels[:, :2] / pixels[:, 2:]


@pytest.mark.parametrize("side", [RIGHT, LEFT])
def test_projection_and_augmentation_commute(records, side):
    """project(augment(X, K)) == augment(project(X, K)), with rotation and mirroring."""
    for number, record in enumerate(records):
        record = record | {keys.SIDE: tf.constant(side)}
        sample = crop(record, SIZE, STRONG, tf.constant([number, 5], tf.int64))
        np.testing.assert_allclose(project(sample, sample[keys.JOINTS_3D]), sample[keys.JOINTS_2D], atol=0.01)


def test_lengths_in_3d_do_not_change(records):
    for number, record in enumerate(records):
        sample = crop(record, SIZE, STRONG, tf.constant([number, 6], tf.int64))
        before, after = (np.linalg.norm(np.diff(r[keys.JOINTS_3D].numpy(), axis=0), axis=1) for r in (record, sample))
        np.testing.assert_allclose(before, after, atol=1e-5)


def test_a_mirrored_left_hand_is_the_right_hand(records):
    """Mirroring twice is the identity: the mirror image, marked left, gives the very same crop."""
    for record in records[:3]:
        plain, back = crop(record, SIZE, None), crop(mirrored(record), SIZE, None)
        for name, limit in (
            (keys.JOINTS_2D, 1e-3),
            (keys.JOINTS_3D, 1e-5),
            (keys.VERTICES, 1e-5),
            (keys.IMAGE, 0.03),
            (keys.MASK, 0.02),
        ):
            np.testing.assert_allclose(plain[name], back[name], atol=limit, err_msg=name)


def test_mask_moves_with_the_joints(records):
    """The centre of the mask and of the projected mesh move together."""
    for number, record in enumerate(records):
        sample = crop(record, SIZE, AugmentConfig(rotation_deg=90.0), tf.constant([number, 8], tf.int64))
        inside = project(sample, sample[keys.VERTICES])
        inside = inside[((inside >= 0) & (inside < SIZE)).all(axis=1)]
        rows, columns = np.nonzero(sample[keys.MASK].numpy()[..., 0] > 0.5)
        np.testing.assert_allclose([columns.mean(), rows.mean()], inside.mean(axis=0), atol=0.08 * SIZE)


def test_plain_crop_fits_the_box(records):
    sample = crop(records[0], SIZE, None)
    extent = np.ptp(sample[keys.JOINTS_2D].numpy(), axis=0).max()
    assert extent == pytest.approx(SIZE / PLAIN_CROP, rel=1e-3)


def test_joints_outside_lose_their_weight(records):
    tight = AugmentConfig(crop_scale=(0.6, 0.6), rotation_deg=0.0, translation=0.0)
    sample = crop(records[0], SIZE, tight, tf.constant([1, 1], tf.int64))
    inside = ((sample[keys.JOINTS_2D].numpy() >= 0) & (sample[keys.JOINTS_2D].numpy() <= SIZE - 1)).all(axis=1)
    np.testing.assert_array_equal(sample[keys.JOINTS_2D_WEIGHT].numpy() > 0, inside)
    assert not inside.all()


def test_equal_seeds_equal_pictures_and_colours_stay_in_range(records):
    seed = tf.constant([4, 9], tf.int64)
    first, second = (recolour(crop(records[0], SIZE, STRONG, seed), STRONG, seed)[keys.IMAGE].numpy() for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert first.min() >= 0
    assert first.max() <= 1


def test_background_changes_only_behind_the_mask(records):
    only_background = AugmentConfig((1, 1), 0, 0, 0, 0, 0, 0, (1, 1), 0, 0, 0, 0, 1.0)
    sample = crop(records[0], SIZE, None)
    changed = recolour(sample, only_background, tf.constant([2, 2], tf.int64))[keys.IMAGE]
    difference = np.abs(changed - sample[keys.IMAGE]).max(axis=-1)
    mask = sample[keys.MASK].numpy()[..., 0]
    assert difference[mask == 1].max() < 1e-3
    assert difference[mask == 0].mean() > 0.05
