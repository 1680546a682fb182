"""2D joints: one heat map per joint, decoded by Equation 1 of the supplement."""

import tensorflow as tf

from hiu_tf.codecs import heatmap
from hiu_tf.codecs.heatmap import READABLE
from hiu_tf.conventions import keys
from hiu_tf.conventions.skeleton import NUM_JOINTS
from hiu_tf.metrics.metric import Metric
from hiu_tf.metrics.protocols import OF_BOX, PIXELS_0_30
from hiu_tf.metrics.streaming import Joints2DAUC
from hiu_tf.runtime.draw import draw_skeleton
from hiu_tf.tasks.base import Label, Loss, Maps, Output, Task, distance, weight_of


def encode(batch, crop):
    """Labels: maps at S/2, empty for pictures without a hand."""
    empty = batch.get(keys.EMPTY_HEATMAPS, tf.zeros_like(batch[keys.MASK_WEIGHT]))[:, tf.newaxis]
    maps = heatmap.encode(batch[keys.JOINTS_2D], crop.size, crop.size // 2)
    return {
        keys.HEATMAPS: tf.where(empty[..., tf.newaxis, tf.newaxis] > 0, 0.0, maps),
        keys.HEATMAPS_WEIGHT: tf.maximum(batch[keys.JOINTS_2D_WEIGHT], empty),
        keys.JOINTS_2D: batch[keys.JOINTS_2D],
        keys.JOINTS_2D_WEIGHT: batch[keys.JOINTS_2D_WEIGHT],
    }


def read(outputs, hand, size):
    """Predictions: joints by Equation 1, and the peak of each map as its score."""
    del hand
    maps = outputs[keys.HEATMAPS]
    return {keys.JOINTS_2D: heatmap.decode(maps, size), keys.SCORES: heatmap.scores(maps)}


def heatmaps(gt, pred):
    """Mean squared difference of each joint's map, [B, 21]."""
    return tf.reduce_mean(tf.square(pred[keys.HEATMAPS] - gt[keys.HEATMAPS]), axis=[1, 2])


def joints_2d_read(gt, pred):
    """Distance of the joints decoded from heat maps (Equation 1) to the labels, as a share of the crop, [B, 21].

    0 if a map's peak is below heatmap.READABLE.
    """
    return where_readable(pred, distance(pred[keys.JOINTS_2D], gt[keys.JOINTS_2D]) / pred[keys.CROP_SIDE])


def where_readable(pred, errors):
    """Errors [B, 21] of joints whose heat map has a sufficient peak (heatmap.READABLE), 0 for the others."""
    return tf.where(pred[keys.SCORES] > READABLE, errors, 0.0)


_COMPARED = (keys.JOINTS_2D, keys.JOINTS_2D, keys.JOINTS_2D_WEIGHT)

HEATMAPS = Task(
    name="heatmaps",
    head=Maps(NUM_JOINTS, 2),
    raw=(keys.HEATMAPS,),
    encode=encode,
    read=read,
    labels={
        keys.HEATMAPS: Label(keys.HEATMAPS_WEIGHT, (-1, 1, 1, NUM_JOINTS)),
        keys.JOINTS_2D: Label(keys.JOINTS_2D_WEIGHT, (-1, NUM_JOINTS, 1)),
    },
    losses={
        "heatmaps": Loss(heatmaps, weight_of(keys.HEATMAPS_WEIGHT), 200.0),
        "joints_2d_read": Loss(joints_2d_read, weight_of(keys.JOINTS_2D_WEIGHT)),
    },
    outputs={
        keys.JOINTS_2D: Output((NUM_JOINTS, 2), "x, y in pixels of the crop, read off the heat maps"),
        keys.SCORES: Output((NUM_JOINTS,), "peak of each heat map, 0..1"),
    },
    streaming=lambda size: [Joints2DAUC("joints_2d_auc", keys.JOINTS_2D, size)],
    metrics=(
        Metric("joints_2d_auc", PIXELS_0_30, *_COMPARED, "auc"),
        Metric("joints_2d_box_error", OF_BOX, *_COMPARED, "sample mean"),
    ),
    draw=lambda picture, found, hand: draw_skeleton(picture, found[keys.JOINTS_2D], found[keys.SCORES]),
)
