"""The pose prior against SciPy's normal distribution, and for possible and impossible poses."""

import numpy as np
import tensorflow as tf
from scipy.stats import multivariate_normal

from hiu_tf.conventions.skeleton import MODEL_JOINT_NAMES
from hiu_tf.hand import anatomy, poses
from hiu_tf.hand.prior import FLOOR, pose_log_likelihood


def samples(count, seed=9):
    rng = np.random.default_rng(seed)
    return np.stack([poses.sample_pose(rng) for _ in range(count)]).astype(np.float32)


def test_equals_the_normal_distribution(hand, rng):
    pose = samples(20) + rng.normal(size=(20, 15, 3)).astype(np.float32) * 0.1
    basis, deviations = hand.pose_basis.astype(float), hand.pose_deviations.astype(float)
    covariance = basis.T @ np.diag(deviations**2 + FLOOR**2) @ basis
    expected = multivariate_normal(hand.pose_mean.astype(float), covariance).logpdf(pose.reshape(20, 45))
    np.testing.assert_allclose(pose_log_likelihood(hand, tf.constant(pose)), expected, rtol=1e-4)


def test_basis_is_orthonormal_and_describes_the_sampler(hand):
    np.testing.assert_allclose(hand.pose_basis @ hand.pose_basis.T, np.eye(45), atol=1e-5)
    coefficients = (samples(3000).reshape(-1, 45) - hand.pose_mean) @ hand.pose_basis.T
    np.testing.assert_allclose(coefficients.std(axis=0)[:10], hand.pose_deviations[:10], rtol=0.1)


def test_natural_poses_are_likelier_than_broken_fingers(hand):
    natural = samples(200)
    backward = natural.copy()
    slot = MODEL_JOINT_NAMES.index("middle2") - 1
    backward[:, slot] -= np.deg2rad(90) * anatomy.joint_axes("middle")[0]
    better = pose_log_likelihood(hand, tf.constant(natural)) > pose_log_likelihood(hand, tf.constant(backward))
    assert np.mean(better) > 0.99
