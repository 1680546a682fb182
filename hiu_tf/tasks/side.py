"""The side of the hand: whether the crop shows a right hand, as the other tasks expect, or a left one.

Beyond the paper, whose network is told the side. Training mirrors a share of the crops once more, so that they show a
left hand (augment.wrong_side_probability); of those crops only the side and the mask are labelled.
"""

import tensorflow as tf

from hiu_tf.conventions import keys
from hiu_tf.tasks.base import Label, Loss, Output, Task, Vector, weight_of


def encode(batch, crop):
    """Labels: 1 for a right hand, 0 for a left one; weight 0 where the side is unknown."""
    del crop
    return {keys.RIGHT: batch[keys.RIGHT][:, tf.newaxis], keys.RIGHT_WEIGHT: batch[keys.RIGHT_WEIGHT]}


def read(outputs, hand, size):
    """Predictions: probabilities from the logits."""
    del hand, size
    return {keys.RIGHT: tf.sigmoid(outputs[keys.RIGHT_LOGIT])[:, 0]}


def side(gt, pred):
    """Binary cross-entropy of the side's logit, [B]."""
    return tf.nn.sigmoid_cross_entropy_with_logits(labels=gt[keys.RIGHT], logits=pred[keys.RIGHT_LOGIT])[:, 0]


SIDE = Task(
    name="side",
    head=Vector(1),
    raw=(keys.RIGHT_LOGIT,),
    encode=encode,
    read=read,
    labels={keys.RIGHT: Label(keys.RIGHT_WEIGHT, (-1, 1))},
    losses={"side": Loss(side, weight_of(keys.RIGHT_WEIGHT), 1.0)},
    outputs={keys.RIGHT: Output((), "probability that the crop shows a right hand, 0..1")},
    needs=(keys.RIGHT, keys.RIGHT_WEIGHT),
)
