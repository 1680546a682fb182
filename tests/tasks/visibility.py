"""Example of a new head in docs/architecture.md: predicts for each joint whether it is visible."""

from dataclasses import dataclass

import cv2
import numpy as np
import tensorflow as tf

from hiu_tf.conventions import keys
from hiu_tf.metrics.metric import Metric
from hiu_tf.metrics.protocols import PIXELS_0_30
from hiu_tf.tasks.base import Label, Loss, Output, Task, Vector, weight_of

SEEN, LOGITS = "seen", "seen_logits"


def encode(batch, crop):
    del crop
    return {keys.VISIBLE: batch[keys.VISIBLE], keys.JOINTS_2D_WEIGHT: batch[keys.JOINTS_2D_WEIGHT]}


def read(outputs, hand, size):
    del hand, size
    return {SEEN: tf.sigmoid(outputs[LOGITS])}


def visibility(gt, pred):
    """Cross-entropy of each joint, [B, 21]."""
    return tf.nn.sigmoid_cross_entropy_with_logits(gt[keys.VISIBLE], pred[LOGITS])


class Accuracy(tf.keras.metrics.Mean):
    """Share of the labelled joints whose visibility is predicted correctly."""

    def update_state(self, targets, predicted):
        right = (predicted[SEEN] > 0.5) == (targets[keys.VISIBLE] > 0.5)
        super().update_state(tf.cast(right, tf.float32), tf.cast(targets[keys.JOINTS_2D_WEIGHT] > 0, tf.float32))


@dataclass(frozen=True)
class Share(Metric):
    """The same metric for the tables of hiu evaluate."""

    higher_is_better = True
    unit = "0..1"
    words = "share of labelled joints that are rightly called seen or hidden"

    def errors(self, predicted, labels, size):
        right = (predicted[self.of] > 0.5) == (labels[self.label] > 0.5)
        return np.where(labels[self.needs] > 0, right, np.nan)


def draw(picture, found, hand):
    del hand
    picture = picture.copy()
    for point, seen in zip(found[keys.JOINTS_2D], found[SEEN]):
        cv2.circle(picture, tuple(int(x) for x in point), 3, (0, 255, 0) if seen > 0.5 else (255, 0, 0), -1)
    return picture


VISIBILITY = Task(
    name="visibility",
    head=Vector(21),
    raw=(LOGITS,),
    encode=encode,
    read=read,
    needs=(keys.VISIBLE,),
    labels={keys.VISIBLE: Label(keys.JOINTS_2D_WEIGHT, (-1, 21))},
    losses={"visibility": Loss(visibility, weight_of(keys.JOINTS_2D_WEIGHT), 1.0)},
    outputs={SEEN: Output((21,), "probability that a joint is seen, 0..1")},
    streaming=lambda size: [Accuracy("visibility_accuracy")],
    metrics=(Share("visibility_accuracy", PIXELS_0_30, SEEN, keys.VISIBLE, keys.JOINTS_2D_WEIGHT),),
    draw=draw,
)
