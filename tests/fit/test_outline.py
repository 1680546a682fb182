"""Fits to masks: derivatives against finite differences, and rendered masks whose hands are known."""

from dataclasses import replace

import numpy as np
import pytest

from hiu_tf.fit.chain import NUM_PARAMETERS, Chain, Hands
from hiu_tf.fit.evidence import Residuals
from hiu_tf.fit.outline import OutlineResiduals, outlines_of
from hiu_tf.fit.skin import Skin
from hiu_tf.fit.solve import refine
from hiu_tf.geometry.camera import project
from hiu_tf.geometry.mesh import covered
from hiu_tf.geometry.rotation import rotation_matrix
from hiu_tf.hand.poses import gesture_pose
from hiu_tf.hand.procedural import procedural_hand
from tests.fit.known import CAMERA, SIZE, evidence_of, numeric

#: Fingers up, thumb side to the camera.
UPRIGHT = rotation_matrix(np.array([np.pi, np.pi, 0]) / np.sqrt(2))
GESTURES = ("open", "victory", "fist", "point")
RIGHT = np.ones(len(GESTURES))


@pytest.fixture(scope="module")
def hand():
    return procedural_hand()


@pytest.fixture
def hands(rng):
    """Upright hands of any shape, seen from the back or a little from the side."""
    count = len(GESTURES)
    return Hands(
        rng.normal(0, 1.0, (count, 10)),
        np.stack([gesture_pose(name) for name in GESTURES]),
        rotation_matrix(rng.normal(0, 0.3, (count, 3))) @ rotation_matrix(np.array([0, np.pi / 2, 0])) @ UPRIGHT,
        np.array([0, 0.06, 0.65]) + rng.normal(0, 0.01, (count, 3)),
    )


def silhouettes(hand, hands):
    """Masks of the meshes."""
    return [covered(project(mesh, CAMERA), hand.closed_faces, SIZE, SIZE) for mesh in Skin(hand)(hands)]


def masked_evidence(hand, hands, masks):
    evidence = evidence_of(hand, hands)
    return replace(evidence, outlines=outlines_of(masks, evidence.joints_2d, RIGHT))


def residuals_of(hand, evidence, hands):
    chain = Chain(hand)
    posed = chain.posed(hands)
    error, moves = OutlineResiduals(Skin(hand), 0.03)(evidence.outlines, evidence.intrinsics, evidence.box, posed)
    return error, moves(chain.derivatives(posed))


def overlap(hand, hands, masks):
    return np.array([(a & b).sum() / (a | b).sum() for a, b in zip(silhouettes(hand, hands), masks)])


def test_derivatives_of_the_mesh(any_hand, hands, rng):
    """Exact but for the pose blend shapes, which are taken as constant; the mesh itself is float32."""
    hand = any_hand
    chosen = rng.integers(0, len(hand.vertices), (len(GESTURES), 60))
    rigid = Skin(replace(hand, pose_directions=np.zeros_like(hand.pose_directions)))
    along = rng.normal(size=(*chosen.shape, 3))
    points = lambda h: np.take_along_axis(rigid(h), chosen[..., np.newaxis], axis=1).astype(float)
    places = lambda h: (points(h) * along).sum(axis=-1)
    chain = Chain(hand)
    posed = chain.posed(hands)
    found = rigid.derivatives(rigid.surface(posed), chain.derivatives(posed), chosen, along)
    np.testing.assert_allclose(found, numeric(places, hands, 1e-3), atol=2e-4)


def test_derivatives_of_the_distance_to_a_mask(hand, hands, rng):
    """Of the residuals that neither begin nor end within a step."""
    evidence = masked_evidence(hand, hands, silhouettes(hand, hands))
    moved = hands.moved(rng.normal(0, 0.02, (len(GESTURES), NUM_PARAMETERS)))
    error, found = residuals_of(hand, evidence, moved)
    expected = numeric(lambda h: residuals_of(hand, evidence, h)[0], moved, 1e-4)
    near = np.abs(found - expected).max(axis=-1) < 0.05 * np.abs(expected).max(axis=-1) + 0.05
    assert (error > 0).mean() > 0.1
    assert near[error > 0.3].mean() > 0.9
    assert not found[error == 0].any()


def test_the_true_hand_has_no_residuals(hand, hands):
    evidence = masked_evidence(hand, hands, silhouettes(hand, hands))
    error, _ = residuals_of(hand, evidence, hands)
    pixels = error * 0.03 * evidence.box[:, np.newaxis]
    assert pixels.max() < 3
    assert np.quantile(pixels, 0.9) < 1


def test_masks_correct_joints_that_are_labelled_beside_the_bones(hand, hands, rng):
    """As trackers do for hands seen from the side."""
    masks = silhouettes(hand, hands)
    evidence, residuals = masked_evidence(hand, hands, masks), Residuals(hand)
    beside = 0.03 * evidence.box[:, np.newaxis, np.newaxis] * rng.choice([-1, 1], (len(GESTURES), 1, 2))
    evidence = replace(evidence, joints_2d=evidence.joints_2d + beside)
    without, _ = refine(residuals, replace(evidence, outlines=None), hands)
    with_masks, _ = refine(residuals, evidence, hands)
    before, after = overlap(hand, without, masks), overlap(hand, with_masks, masks)
    assert (after > before).all()
    assert after.mean() > before.mean() + 0.03


def test_a_mask_moves_a_hand_whose_joints_are_unknown(hand, hands):
    masks = silhouettes(hand, hands)
    evidence = masked_evidence(hand, hands, masks)
    evidence = replace(evidence, joints_2d_weight=np.zeros_like(evidence.joints_2d_weight))
    start = replace(hands, translation=hands.translation + [0.012, -0.008, 0])
    found, _ = refine(Residuals(hand), evidence, start)
    before, after = overlap(hand, start, masks), overlap(hand, found, masks)
    assert (after > before + 0.05).all()
    assert after.mean() > 0.9


@pytest.mark.parametrize("what", ["arm", "no arm", "picture's edge"])
def test_arm_and_edge_are_no_evidence(hand, hands, what):
    """A mask that goes on below the wrist, or ends there, or a picture that does, leaves the hand where it is."""
    whole = silhouettes(hand, hands)
    flat = project(Chain(hand).joints(hands), CAMERA)
    masks = []
    for mask, joints in zip(whole, flat):
        row = int(joints[0, 1])
        changed = mask.copy()
        changed[row:] |= np.abs(np.arange(SIZE) - joints[0, 0]) < 20
        ends = mask & (np.arange(SIZE)[:, np.newaxis] < row)
        masks.append({"arm": changed, "no arm": ends, "picture's edge": mask[: row - 5]}[what])
    found, _ = refine(Residuals(hand), masked_evidence(hand, hands, masks), hands)
    same, _ = refine(Residuals(hand), masked_evidence(hand, hands, whole), hands)
    drawn = [project(Skin(hand)(h), CAMERA) for h in (found, same)]
    assert np.linalg.norm(drawn[0] - drawn[1], axis=-1).mean(axis=1).max() < 1  # pixels


def test_no_point_of_the_outline_is_one_of_the_edge(hand, hands):
    """Pictures that end in the middle of the hand, on each side."""
    masks, flat = silhouettes(hand, hands), project(Chain(hand).joints(hands), CAMERA)
    across, down = flat.mean(axis=1).astype(int).T
    for cut, edge in (
        (lambda mask, n: mask[:, : across[n]], lambda points, n: across[n] - 1 - points[:, 0]),
        (lambda mask, n: mask[: down[n]], lambda points, n: down[n] - 1 - points[:, 1]),
    ):
        found = outlines_of([cut(mask, n) for n, mask in enumerate(masks)], flat, RIGHT)
        for n, (points, normals) in enumerate(zip(found.points, found.normals)):
            assert edge(points[normals.any(axis=1)], n).min() > 0.5


def test_left_hands_are_mirrored(hand, hands):
    masks = silhouettes(hand, hands)
    flat = project(Chain(hand).joints(hands), CAMERA)
    right = outlines_of(masks, flat, RIGHT)
    shifted = flat - [SIZE - 1, 0]  # the mirrored pictures' x, negated
    left = outlines_of([mask[:, ::-1] for mask in masks], shifted, -RIGHT)
    assert np.mean(np.abs(left.outside - right.outside) > 1e-3) < 1e-3  # where a cell lies between two pixels
    np.testing.assert_allclose(left.points + [SIZE - 1, 0], right.points, atol=1e-6)
    np.testing.assert_allclose(left.normals, right.normals, atol=1e-5)


def test_hands_without_a_mask_are_left_alone(hand, hands):
    masks = silhouettes(hand, hands)
    evidence = masked_evidence(hand, hands, [None, *masks[1:]])
    error, moves = residuals_of(hand, evidence, replace(hands, translation=hands.translation + 0.02))
    assert not error[0].any() and not moves[0].any()
    assert error[1:].any(axis=1).all()
    alone, _ = refine(Residuals(hand), evidence.part([2]), hands.part([2]), 5)
    together, _ = refine(Residuals(hand), evidence, hands, 5)
    np.testing.assert_allclose(together.pose[2], alone.pose[0], atol=1e-7)
