"""Self-supervision (supplement 1.2): the tasks must agree with each other, no label needed.

Gradients flow to both sides of each agreement, as in the paper's earlier code. The silhouette
against a labelled mask stands here too: it needs the same rendering.
"""

import tensorflow as tf

from hiu_tf.conventions import keys
from hiu_tf.losses.supervised import distance, side, where_readable

#: Key of the rendered mask [B, S, S] among a stack's predictions.
RENDERED = "rendered_mask"


def ssl_mask(gt, pred):
    """L1 between the mask rendered from the mesh and the predicted mask, mean over pixels, [B]."""
    del gt
    predicted = tf.sigmoid(pred[keys.MASK])[..., 0]
    return tf.reduce_mean(tf.abs(pred[RENDERED] - predicted), axis=[1, 2])


def ssl_joints(gt, pred):
    """Distance between joints read off the heat maps (Equation 1) and projected ones, share of the crop, [B, 21].

    0 where a map's peak is too low to be read (heatmap.READABLE): an empty map would draw the mesh to its corner.
    """
    del gt
    return where_readable(pred, distance(pred[keys.JOINTS_2D], pred[keys.JOINTS_2D_PROJECTED]) / side(pred))


def silhouette(gt, pred):
    """L1 between the rendered mask and the labelled one, mean over pixels, [B]."""
    return tf.reduce_mean(tf.abs(pred[RENDERED] - gt[keys.MASK][..., 0]), axis=[1, 2])
