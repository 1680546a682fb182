"""Pose prior: a Gaussian over theta from the hand model's statistics of natural poses."""

import math

import numpy as np
import tensorflow as tf

from hiu_tf.hand.model import HandModel

#: Standard deviation in radians (3 degrees) added in every direction, so that a joint that is fixed in the
#: statistics may still rotate a little.
FLOOR = 0.05


def pose_log_likelihood(hand: HandModel, pose: tf.Tensor) -> tf.Tensor:
    """Log density of poses: theta [B, 15, 3] or [B, 45], axis-angle -> [B]; differentiable.

    The density is normal with mean `pose_mean` and covariance B^T (D^2 + FLOOR^2) B, B and D being
    `pose_basis` and `pose_deviations`. Higher means more natural; only differences between poses are meaningful.
    """
    variances = np.square(hand.pose_deviations) + FLOOR**2
    coefficients = tf.matmul(tf.reshape(pose, [-1, 45]) - hand.pose_mean, hand.pose_basis, transpose_b=True)
    constant = 0.5 * (len(variances) * math.log(2 * math.pi) + float(np.log(variances).sum()))
    return -0.5 * tf.reduce_sum(tf.square(coefficients) / variances, axis=-1) - constant
