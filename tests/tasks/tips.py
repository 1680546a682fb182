"""Example of a new loss in docs/architecture.md: an additional loss of the mesh's fingertips."""

from dataclasses import replace

import tensorflow as tf

from hiu_tf.conventions import keys
from hiu_tf.conventions.skeleton import TIPS
from hiu_tf.tasks.base import Loss, distance, weight_of
from hiu_tf.tasks.hand import HAND


def tips(gt, pred):
    """Distance of the projected fingertips to the labels, as a share of the crop, [B, 5]."""
    found, labelled = (
        tf.gather(points, TIPS, axis=1) for points in (pred[keys.JOINTS_2D_PROJECTED], gt[keys.JOINTS_2D])
    )
    return distance(found, labelled) / pred[keys.CROP_SIDE]


def labelled_tips(gt):
    """Weights of the fingertips' labels, [B, 5]."""
    return tf.gather(weight_of(keys.JOINTS_2D_WEIGHT)(gt), TIPS, axis=1)


HAND_WITH_TIPS = replace(HAND, losses={**HAND.losses, "tips": Loss(tips, labelled_tips, 5.0)})
