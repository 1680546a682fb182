"""The texture coordinates of our own hand, measured from its mesh and by drawing its triangles."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from hiu_tf.hand.atlas import SKIN, atlas_of, procedural_atlas, skin_picture
from hiu_tf.hand.model import mirror_hand
from hiu_tf.hand.unwrap import flatten
from hiu_tf.pictures import decode_picture


@pytest.fixture(scope="module")
def atlas():
    return procedural_atlas()


def test_the_atlas_is_the_mesh_with_doubled_vertices_on_seams(hand, atlas):
    np.testing.assert_array_equal(atlas.source[atlas.faces], hand.faces)
    assert set(atlas.source) == set(range(len(hand.vertices)))
    assert len(hand.vertices) < len(atlas.source) < 1.3 * len(hand.vertices)
    assert atlas.uv.min() >= 0 and atlas.uv.max() <= 1
    # A point stands for one place of the skin: its triangles hang together in the picture.
    assert len(np.unique(np.concatenate([atlas.source[:, None], atlas.uv], axis=1), axis=0)) == len(atlas.source)


def test_triangles_keep_their_shape_and_size(hand, atlas):
    """Singular values of the map from skin to picture, relative to the mean scale: 1 everywhere would be perfect."""
    a, b, c = (hand.vertices[hand.faces[:, k]].astype(float) for k in range(3))
    x = (b - a) / np.linalg.norm(b - a, axis=1, keepdims=True)
    y = np.cross(np.cross(b - a, c - a), x)
    y /= np.linalg.norm(y, axis=1, keepdims=True)
    dot = lambda left, right: np.einsum("fc,fc->f", left, right)
    rest = np.stack([np.stack([dot(b - a, axis), dot(c - a, axis)], axis=-1) for axis in (x, y)], axis=1)
    u, v, w = (atlas.uv[atlas.faces[:, k]] * [1, -1] for k in range(3))  # v points down
    jacobians = np.stack([v - u, w - u], axis=-1) @ np.linalg.inv(rest)
    assert np.linalg.det(jacobians).min() > 0, "a triangle is turned over"
    area = 0.5 * np.abs(np.linalg.det(rest))
    stretch = np.linalg.svd(jacobians, compute_uv=False)
    stretch /= np.sqrt(np.average(np.linalg.det(jacobians), weights=area))
    order = np.argsort(stretch[:, 0])
    share = np.cumsum(area[order]) / area.sum()
    assert stretch[order][np.searchsorted(share, 0.95), 0] < 1.25
    assert stretch.max() < 2.5 and stretch.min() > 0.4
    size = stretch.prod(axis=1)
    assert np.average(np.abs(size - 1) > 0.25, weights=area) < 0.05


def test_islands_do_not_overlap_and_keep_apart(atlas):
    """Draws every triangle by itself: no pixel of 2048 x 2048 has two, and a pixel of 512 separates islands."""
    size = 2048
    count, island = np.zeros((size, size), np.uint8), np.zeros((size, size), np.int16)
    part = _parts(atlas)
    for face in atlas.faces:
        corners = atlas.uv[face] * size - 0.5
        low, high = np.ceil(corners.min(axis=0)).astype(int), np.floor(corners.max(axis=0)).astype(int)
        x, y = np.meshgrid(np.arange(low[0], high[0] + 1), np.arange(low[1], high[1] + 1))
        sides = [
            (q[0] - p[0]) * (y - p[1]) - (q[1] - p[1]) * (x - p[0]) for p, q in zip(corners, np.roll(corners, -1, 0))
        ]
        inside = np.max(sides, axis=0) < 0
        count[y[inside], x[inside]] += 1
        island[y[inside], x[inside]] = part[face[0]]
    covered = count > 0
    assert (count > 1).sum() < 1e-4 * covered.sum()
    assert 0.4 < covered.mean() < 0.9, "the picture is used"
    apart = 8  # pixels: two of the picture's 512
    for left, right in ((island[:, :-apart], island[:, apart:]), (island[:-apart], island[apart:])):
        assert not ((left > 0) & (right > 0) & (left != right)).any()


def _parts(atlas):
    """Number from 1 of each point's island."""
    part = np.arange(1, len(atlas.source) + 1)
    while True:
        least = part.copy()
        np.minimum.at(least, atlas.faces, part[atlas.faces].min(axis=1, keepdims=True))
        if np.array_equal(least, part):
            assert len(set(part)) == 8
            return np.unique(part, return_inverse=True)[1] + 1
        part = least


def test_the_colours_meet_at_seams(hand, atlas):
    """Both sides of a seam show the same skin: the picture's interpolated colours there differ little."""
    colours = looked_up(atlas)
    seam = np.flatnonzero(np.bincount(atlas.source) > 1)
    differences = np.array([np.ptp(colours[atlas.source == vertex], axis=0).max() for vertex in seam])
    assert np.mean(differences) < 4 and np.quantile(differences, 0.95) < 12
    assert differences.max() < 60  # a crease is as thin as a pixel


def looked_up(atlas):
    """Colours [W, 3] of the skin at the atlas points."""
    skin = decode_picture(skin_picture()).astype(np.float32)
    u, v = (atlas.uv * 512 - 0.5).astype(np.float32).T
    return cv2.remap(skin, u[np.newaxis], v[np.newaxis], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0]


def test_the_skin_is_a_small_picture_with_a_lighter_palm(hand, atlas):
    skin = decode_picture(skin_picture())
    assert skin.shape == (512, 512, 3) and SKIN.stat().st_size < 150_000
    colours = np.zeros((len(hand.vertices), 3))
    colours[atlas.source] = looked_up(atlas)
    middle = (hand.vertices[:, 0] > -0.07) & (hand.vertices[:, 0] < -0.02) & (np.abs(hand.vertices[:, 2]) < 0.03)
    palm, back = (colours[middle & (side * hand.vertices[:, 1] > 0.008)].mean(axis=0) for side in (-1, 1))
    assert (palm > back + 8).all()
    assert (palm[0] > palm[1] > palm[2]) and (back[0] > back[1] > back[2])


def test_left_hands_share_the_atlas_and_other_meshes_have_none(hand, atlas):
    left = mirror_hand(hand)
    np.testing.assert_array_equal(atlas_of(left).source[atlas_of(left).faces], left.faces)
    np.testing.assert_array_equal(atlas_of(left).uv, atlas.uv)
    other = replace(hand, faces=np.roll(hand.faces, 1, axis=0))
    assert atlas_of(other) is None


def test_flatten_unrolls_a_cylinder_exactly_and_refuses_a_closed_ring():
    """An open half cylinder is a rectangle: all lengths along and around stay."""
    around, along = np.meshgrid(np.linspace(0, np.pi, 13), np.linspace(0, 2, 9))
    points = np.stack([np.cos(around), np.sin(around), along], axis=-1).reshape(-1, 3)
    index = np.arange(points.shape[0]).reshape(9, 13)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    faces = np.concatenate([np.stack(t, axis=-1).reshape(-1, 3) for t in ((a, b, c), (a, c, d))])
    flat = flatten(points, faces)
    chord = 2 * np.sin(np.pi / 24) * 12
    found = np.linalg.norm(flat[index[0, 0]] - flat[index[0, -1]])
    assert found == pytest.approx(chord, rel=1e-3)
    assert np.linalg.norm(flat[index[0, 0]] - flat[index[-1, -1]]) == pytest.approx(np.hypot(chord, 2), rel=1e-3)
    closed = np.concatenate([faces, [[index[0, -1], index[0, 0], index[1, 0]]]])
    closed = np.concatenate([closed, [[index[k, 12], index[k, 0], index[k + 1, 0]] for k in range(1, 8)]])
    closed = np.concatenate([closed, [[index[k, 12], index[k + 1, 0], index[k + 1, 12]] for k in range(8)]])
    with pytest.raises(ValueError, match="one disc"):
        flatten(points, closed)
