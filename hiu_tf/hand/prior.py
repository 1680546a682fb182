"""How natural a pose is: a Gaussian over theta from the model's own statistics of natural poses."""

import math

import numpy as np
import tensorflow as tf

from hiu_tf.hand.model import HandModel

#: Deviation in radians (3 degrees) that is added to every direction: a joint that never turns in the
#: statistics may still turn a little.
FLOOR = 0.05


def pose_log_likelihood(hand: HandModel, pose: tf.Tensor) -> tf.Tensor:
    """Log density of poses: theta [B, 15, 3] or [B, 45], axis-angle -> [B]; differentiable.

    The density is normal with mean `pose_mean` and covariance B^T (D^2 + FLOOR^2) B, B and D being
    `pose_basis` and `pose_deviations`. Higher is more natural; compare poses with each other.
    """
    variances = np.square(hand.pose_deviations) + FLOOR**2
    coefficients = tf.matmul(tf.reshape(pose, [-1, 45]) - hand.pose_mean, hand.pose_basis, transpose_b=True)
    constant = 0.5 * (len(variances) * math.log(2 * math.pi) + float(np.log(variances).sum()))
    return -0.5 * tf.reduce_sum(tf.square(coefficients) / variances, axis=-1) - constant
