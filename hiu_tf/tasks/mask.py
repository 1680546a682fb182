"""The segmentation mask of the hand."""

import tensorflow as tf

from hiu_tf.conventions import keys
from hiu_tf.metrics.metric import Metric
from hiu_tf.metrics.protocols import MASK_PROTOCOLS
from hiu_tf.metrics.streaming import MaskIoU
from hiu_tf.runtime.draw import draw_mask
from hiu_tf.tasks.base import Label, Loss, Maps, Output, Task, weight_of


def encode(batch, crop):
    """Labels: masks at S, empty for pictures without a hand."""
    del crop
    empty = batch.get(keys.EMPTY_MASK, tf.zeros_like(batch[keys.MASK_WEIGHT]))
    return {keys.MASK: batch[keys.MASK], keys.MASK_WEIGHT: tf.maximum(batch[keys.MASK_WEIGHT], empty)}


def read(outputs, hand, size):
    """Predictions: probabilities from the logits."""
    del hand, size
    return {keys.MASK: tf.sigmoid(outputs[keys.MASK_LOGITS])[..., 0]}


def mask(gt, pred):
    """Binary cross-entropy of the mask's logits, mean over pixels, [B]."""
    error = tf.nn.sigmoid_cross_entropy_with_logits(labels=gt[keys.MASK], logits=pred[keys.MASK_LOGITS])
    return tf.reduce_mean(error, axis=[1, 2, 3])


_COMPARED = (keys.MASK, keys.MASK, keys.MASK_WEIGHT)

MASK = Task(
    name="mask",
    head=Maps(1, 1),
    raw=(keys.MASK_LOGITS,),
    encode=encode,
    read=read,
    labels={keys.MASK: Label(keys.MASK_WEIGHT, (-1, 1, 1, 1))},
    losses={"mask": Loss(mask, weight_of(keys.MASK_WEIGHT), 5.0)},
    outputs={keys.MASK: Output(("S", "S"), "probability of hand, 0..1")},
    streaming=lambda size: [MaskIoU("mask_iou")],
    metrics=tuple(Metric(f"mask_{name}", protocol, *_COMPARED) for name, protocol in MASK_PROTOCOLS.items()),
    draw=lambda picture, found, hand: draw_mask(picture, found[keys.MASK]),
)
