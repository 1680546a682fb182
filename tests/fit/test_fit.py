"""The fit against the hand layer, finite differences, and hands whose parameters are known."""

from dataclasses import replace

import numpy as np
import pytest

from hiu_tf.conventions import keys
from hiu_tf.fit.chain import NUM_PARAMETERS, Chain, Hands
from hiu_tf.fit.evidence import Deviations, Residuals
from hiu_tf.fit.skin import Skin
from hiu_tf.fit.solve import fit, refine
from hiu_tf.geometry.camera import project
from hiu_tf.geometry.rotation import rotation_matrix
from hiu_tf.hand.layer import pose_hand
from hiu_tf.hand.poses import sample_pose
from hiu_tf.hand.procedural import procedural_hand
from tests.fit.known import evidence_of, numeric

COUNT = 12


@pytest.fixture(scope="module")
def hand():
    return procedural_hand()


@pytest.fixture
def hands(rng):
    """Hands in natural poses and any view, in front of a crop's camera."""
    return Hands(
        rng.normal(0, 0.7, (COUNT, 10)),
        np.stack([sample_pose(rng) for _ in range(COUNT)]),
        rotation_matrix(rng.normal(0, 1.5, (COUNT, 3))),
        np.array([0, 0.05, 0.6]) + rng.normal(0, 0.02, (COUNT, 3)),
    )


def changed(hands, rng, size):
    return hands.moved(rng.normal(0, size, (COUNT, NUM_PARAMETERS)))


def test_joints_and_mesh_are_those_of_the_hand_layer(any_hand, hands):
    hand = any_hand
    posed = pose_hand(hand, hands.shape, hands.pose, hands.rotation, hands.translation)
    np.testing.assert_allclose(Chain(hand).joints(hands), posed[keys.JOINTS_3D], atol=2e-6)
    np.testing.assert_allclose(Skin(hand)(hands), posed[keys.VERTICES], atol=2e-6)


def test_derivatives_of_joints(any_hand, hands):
    chain = Chain(any_hand)
    np.testing.assert_allclose(chain.derivatives(chain.posed(hands)), numeric(chain.joints, hands), atol=1e-7)


@pytest.mark.parametrize("measured", [False, True])
def test_derivatives_of_residuals(hand, hands, rng, measured):
    residuals, evidence, elsewhere = Residuals(hand), evidence_of(hand, hands, measured), changed(hands, rng, 0.2)
    found = residuals(evidence, elsewhere)[1]()
    np.testing.assert_allclose(found, numeric(lambda h: residuals(evidence, h)[0], elsewhere), rtol=1e-4, atol=2e-4)


def test_the_derivative_at_rest_is_finite(hand, hands):
    chain = Chain(hand)
    at_rest = chain.posed(replace(hands, pose=np.zeros_like(hands.pose)))
    assert np.isfinite(chain.derivatives(at_rest)).all()


def test_known_hands_are_found_from_any_start(hand, hands):
    """From the three starting gestures, without an initial guess, for exact evidence with small deviations."""
    exact = Residuals(hand, Deviations(joints_2d=0.003, directions=0.05, joints_3d=0.002))
    found, _ = fit(exact, evidence_of(hand, hands, measured=True))
    error = np.linalg.norm(Chain(hand).joints(found) - Chain(hand).joints(hands), axis=-1).mean(axis=1)
    assert np.median(error) < 0.0005
    mesh = np.linalg.norm(Skin(hand)(found) - Skin(hand)(hands), axis=-1).mean(axis=1)
    assert np.median(mesh) < 0.001


def test_without_lengths_the_joints_are_still_drawn_on_their_labels(hand, hands):
    evidence = evidence_of(hand, hands, measured=False)
    found, _ = fit(Residuals(hand), evidence)
    drawn = np.stack([project(j, k) for j, k in zip(Chain(hand).joints(found), evidence.intrinsics)])
    error = np.linalg.norm(drawn - evidence.joints_2d, axis=-1).mean(axis=1) / evidence.box
    assert error.max() < 0.02


def test_a_known_shape_is_held(hand, hands, rng):
    """With the true beta held, the rest is found; a wrong beta stays exactly as it was."""
    exact = Residuals(hand, Deviations(joints_2d=0.003, directions=0.05, joints_3d=0.002))
    evidence, start = evidence_of(hand, hands, measured=True), changed(hands, rng, 0.1)
    found, cost = refine(exact, evidence, replace(start, shape=hands.shape), hold_shape=True)
    np.testing.assert_array_equal(found.shape, hands.shape)
    assert np.linalg.norm(Chain(hand).joints(found) - Chain(hand).joints(hands), axis=-1).mean() < 0.001
    held, held_cost = refine(exact, evidence, start, hold_shape=True)
    np.testing.assert_array_equal(held.shape, start.shape)
    assert np.median(held_cost) > np.median(cost)


def test_a_step_never_makes_it_worse(hand, hands, rng):
    evidence, start, residuals = evidence_of(hand, hands, False), changed(hands, rng, 0.2), Residuals(hand)
    costs = np.stack([refine(residuals, evidence, start, steps)[1] for steps in range(6)])
    assert (np.diff(costs, axis=0) <= 0).all()
    assert (costs[-1] < 0.5 * costs[0]).all()


def test_one_wrong_joint_does_not_bend_the_hand(hand, hands):
    evidence = evidence_of(hand, hands, measured=False)
    wrong = evidence.joints_2d.copy()
    wrong[:, 8] += 0.5 * evidence.box[:, np.newaxis]
    found, _ = fit(Residuals(hand), replace(evidence, joints_2d=wrong))
    drawn = np.stack([project(j, k) for j, k in zip(Chain(hand).joints(found), evidence.intrinsics)])
    others = np.delete(np.linalg.norm(drawn - evidence.joints_2d, axis=-1), 8, axis=1).mean(axis=1) / evidence.box
    assert np.median(others) < 0.03


def test_what_has_no_weight_has_no_influence(hand, hands, rng):
    evidence = evidence_of(hand, hands, measured=True)
    weight = evidence.joints_2d_weight.copy()
    weight[:, 12] = 0
    spoiled = evidence.joints_2d.copy()
    spoiled[:, 12] += 1e3
    start, residuals = changed(hands, rng, 0.05), Residuals(hand)
    one, _ = refine(residuals, replace(evidence, joints_2d_weight=weight), start, 5)
    other, _ = refine(residuals, replace(evidence, joints_2d_weight=weight, joints_2d=spoiled), start, 5)
    np.testing.assert_allclose(one.pose, other.pose, atol=1e-9)


def test_each_hand_is_fitted_by_itself(hand, hands, rng):
    evidence, start, residuals = evidence_of(hand, hands, False), changed(hands, rng, 0.1), Residuals(hand)
    together, _ = refine(residuals, evidence, start, 5)
    alone, _ = refine(residuals, evidence.part([3]), start.part([3]), 5)
    np.testing.assert_allclose(together.pose[3], alone.pose[0], atol=1e-7)
