"""Geometric augmentation transforms everything consistently; mirroring; invariants."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from hiu_tf.codecs import pof
from hiu_tf.config.schema import AugmentConfig
from hiu_tf.conventions import keys
from hiu_tf.conventions.skeleton import BONES
from hiu_tf.geometry.window import SCALE
from pipelines.crop import AFFINE, FRAME, boxes, cut_pictures, inside, place, to_float
from pipelines.records import parse, read_index
from pipelines.schema import LEFT, RIGHT

SIZE = 128
STRONG = AugmentConfig(rotation_deg=180.0, crop_scale=(1.2, 2.5), translation=0.2)


@pytest.fixture(scope="module")
def records(rendered_records):
    shards, _ = read_index(rendered_records / "synthetic", "val")
    return next(iter(tf.data.TFRecordDataset(shards).batch(100).map(lambda r: parse(r, mesh=True))))


def crop(batch, config=None, seed=None):
    return to_float(cut_pictures(place(batch, SIZE, config, seed), SIZE))


def mirrored(records):
    """The same scenes in a mirror: picture, mask, K, joints, mesh, side."""
    flip = tf.constant([-1.0, 1, 1])
    cameras = records[keys.INTRINSICS].numpy()
    width = int(records[keys.PICTURE_SIZE][0, 1])
    cameras[:, 0, 2] = width - 1 - cameras[:, 0, 2]

    def turned(encoded):
        return tf.stack([tf.io.encode_png(tf.io.decode_image(one)[:, ::-1]) for one in encoded])

    return records | {
        keys.IMAGE: turned(records[keys.IMAGE]),
        keys.MASK: turned(records[keys.MASK]),
        keys.INTRINSICS: tf.constant(cameras),
        keys.JOINTS_2D: tf.constant([width - 1.0, 0]) + records[keys.JOINTS_2D] * [-1.0, 1],
        keys.JOINTS_3D: records[keys.JOINTS_3D] * flip,
        keys.VERTICES: records[keys.VERTICES] * flip,
        keys.SIDE: tf.where(records[keys.SIDE] == RIGHT, LEFT, RIGHT),
    }


def project(batch, points):
    pixels = points.numpy() @ batch[keys.INTRINSICS].numpy().transpose(0, 2, 1)
    return pixels[..., :2] / pixels[..., 2:]


@pytest.mark.parametrize("side", [RIGHT, LEFT])
def test_projection_and_augmentation_commute(records, side):
    """project(augment(X, K)) == augment(project(X, K)), with rotation and mirroring."""
    batch = records | {keys.SIDE: tf.fill(records[keys.SIDE].shape, side)}
    for number in range(8):
        placed = place(batch, SIZE, STRONG, tf.constant([number, 5], tf.int64))
        np.testing.assert_allclose(project(placed, placed[keys.JOINTS_3D]), placed[keys.JOINTS_2D], atol=0.01)


def test_pof_follows_the_moved_joints(records):
    """Fields of a rotated crop: (u_x, u_y) follow the transformed bones, w_z the transformed 3D joints."""
    placed = place(records, SIZE, STRONG, tf.constant([2, 5], tf.int64))
    found = pof.directions(placed[keys.JOINTS_2D], placed[keys.JOINTS_3D]).numpy()
    before = records[keys.JOINTS_2D].numpy()
    for b, (parent, child) in enumerate(BONES):
        moved = np.einsum("nij,nj->ni", placed[AFFINE].numpy()[:, :2, :2], before[:, child] - before[:, parent])
        np.testing.assert_allclose(found[:, b, :2], moved / np.linalg.norm(moved, axis=1, keepdims=True), atol=1e-3)


def test_lengths_in_3d_do_not_change(records):
    placed = place(records, SIZE, STRONG, tf.constant([1, 6], tf.int64))
    before, after = (np.linalg.norm(np.diff(r[keys.JOINTS_3D].numpy(), axis=1), axis=2) for r in (records, placed))
    np.testing.assert_allclose(before, after, atol=1e-5)


def test_a_mirrored_left_hand_is_the_right_hand(records):
    """Mirroring twice is the identity: the mirror image, marked left, gives the very same crop."""
    plain, back = crop(records), crop(mirrored(records))
    limits = {keys.JOINTS_2D: 1e-3, keys.JOINTS_3D: 1e-5, keys.VERTICES: 1e-5, keys.IMAGE: 0.03, keys.MASK: 0.02}
    for name, limit in limits.items():
        np.testing.assert_allclose(plain[name], back[name], atol=limit, err_msg=name)


def test_mask_moves_with_the_joints(records):
    """The centre of the mask and of the projected mesh move together."""
    batch = crop(records, AugmentConfig(rotation_deg=90.0), tf.constant([1, 8], tf.int64))
    for pixels, mask in zip(project(batch, batch[keys.VERTICES]), batch[keys.MASK].numpy()):
        inside = pixels[((pixels >= 0) & (pixels < SIZE)).all(axis=1)]
        rows, columns = np.nonzero(mask[..., 0] > 0.5)
        np.testing.assert_allclose([columns.mean(), rows.mean()], inside.mean(axis=0), atol=0.08 * SIZE)


def test_plain_crop_fits_the_box(records):
    extent = np.ptp(place(records, SIZE)[keys.JOINTS_2D].numpy(), axis=1).max(axis=1)
    np.testing.assert_allclose(extent, SIZE / SCALE, rtol=1e-3)


def test_joints_outside_lose_their_weight(records):
    tight = AugmentConfig(crop_scale=(0.6, 0.6), rotation_deg=0.0, translation=0.0)
    placed = place(records, SIZE, tight, tf.constant([1, 1], tf.int64))
    inside = ((placed[keys.JOINTS_2D].numpy() >= 0) & (placed[keys.JOINTS_2D].numpy() <= SIZE - 1)).all(axis=-1)
    np.testing.assert_array_equal(placed[keys.JOINTS_2D_WEIGHT].numpy() > 0, inside)
    assert not inside.all()


def test_a_given_box_decides_over_the_joints(records):
    boxed = records | {keys.BOX: tf.constant([[40.0, 60, 100, 50]] * len(records[keys.SIDE]))}
    placed = place(boxed, SIZE)
    scale = SIZE / (SCALE * 100)
    np.testing.assert_allclose(np.sqrt(np.linalg.det(placed[AFFINE][:, :2, :2])), scale, rtol=1e-4)
    middle = placed[AFFINE].numpy() @ [90.0, 85.0, 1.0]
    np.testing.assert_allclose(middle[:, :2], 0.5 * (SIZE - 1), atol=1e-3)


def test_eagerly_and_in_a_pipeline_the_same(records):
    seed = tf.constant([3, 4], tf.int64)
    eager = crop(records, STRONG, seed)
    (piped,) = tf.data.Dataset.from_tensors(records).map(lambda batch: crop(batch, STRONG, seed))
    for name, value in eager.items():
        if value.dtype.is_floating:
            grey_level = name in (keys.IMAGE, keys.MASK)  # rounded
            np.testing.assert_allclose(value, piped[name], atol=1.01 / 255 if grey_level else 1e-3, err_msg=name)


def test_a_joint_with_3d_alone_is_put_where_the_camera_sees_it(records):
    weight = np.ones(records[keys.JOINTS_2D_WEIGHT].shape, np.float32)
    weight[:, 7] = 0
    nowhere = tf.where(weight[..., None] > 0, records[keys.JOINTS_2D], 0.0)
    seed = tf.constant([9, 9], tf.int64)
    whole = place(records, SIZE, STRONG, seed)
    found = place(records | {keys.JOINTS_2D: nowhere, keys.JOINTS_2D_WEIGHT: tf.constant(weight)}, SIZE, STRONG, seed)
    box_is_the_same = np.abs(whole[AFFINE] - found[AFFINE]).max(axis=(1, 2)) < 1e-5
    assert box_is_the_same.any()
    np.testing.assert_allclose(
        found[keys.JOINTS_2D][box_is_the_same], whole[keys.JOINTS_2D][box_is_the_same], atol=0.05
    )


def test_an_edge_hides_a_part_of_the_hand_and_no_label(records):
    """One edge of each picture moves into the hand's box by the given share; labels stay, and the mesh's silhouette does not count."""
    config = replace(STRONG, edge_probability=1.0, edge_share=(0.2, 0.4))
    whole, cut_off = (place(records, SIZE, c, [5, 6]) for c in (STRONG, config))
    for key in (keys.JOINTS_2D, keys.JOINTS_2D_WEIGHT, keys.JOINTS_3D, keys.MASK_WEIGHT, AFFINE):
        np.testing.assert_array_equal(whole[key], cut_off[key])
    assert whole[keys.WHOLE].numpy().all() and not cut_off[keys.WHOLE].numpy().any()
    frames, box = cut_off[FRAME].numpy(), boxes(records).numpy()
    moved = frames != whole[FRAME].numpy()
    assert (moved.sum(axis=1) == 1).all() and moved.any(axis=0).sum() >= 3  # one edge each, not always the same
    low, high = frames[:, :2] - box[:, :2], box[:, :2] + box[:, 2:] - frames[:, 2:]
    hidden = (np.concatenate([low, high], axis=1) / np.tile(box[:, 2:], 2))[moved]
    assert 0.2 - 1e-5 < hidden.min() < hidden.max() < 0.4 + 1e-5

    points, low, high = records[keys.JOINTS_2D].numpy(), frames[:, None, :2], frames[:, None, 2:]
    np.testing.assert_array_equal(cut_off[keys.VISIBLE], np.all((points > low - 0.5) & (points < high + 0.5), axis=-1))
    assert 0.5 < cut_off[keys.VISIBLE].numpy().mean() < 0.95 < whole[keys.VISIBLE].numpy().min()

    shown, other = cut_pictures(whole, SIZE), cut_pictures(cut_off, SIZE)
    beyond = other[keys.IMAGE].numpy()[inside(cut_off, SIZE).numpy()[..., 0] == 0]
    assert (beyond == 0).all(axis=-1).mean() > 0.95  # black, but for half a pixel at the edge
    assert (other[keys.IMAGE].numpy()[inside(cut_off, SIZE).numpy()[..., 0] == 1] > 0).any(axis=-1).mean() > 0.95
    for key in (keys.IMAGE, keys.MASK):
        before, after = shown[key].numpy(), other[key].numpy()
        assert (
            np.all(after == before, axis=-1) | ~after.any(axis=-1)
        ).mean() > 0.97  # the same or black, but for the edge
        assert (after < before).any(axis=(1, 2, 3)).all()
