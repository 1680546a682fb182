"""What each error of a loss weighs: labels -> weights [B] or [B, N].

A weight of 0 means that the sample has no such label. `total.py` divides the weighted sum of errors by
the sum of weights, so that such a sample has no influence at all. Weights follow from the labels alone:
their sum over all replicas and parts of a batch is known before anything is predicted.
"""

import tensorflow as tf

from hiu_tf.conventions import keys
from hiu_tf.conventions.skeleton import BONES, NUM_JOINTS, Joint

#: Weight of each joint in the projected 2D loss: wrist 2.5, finger roots and tips 1.7, others 1.
JOINT_IMPORTANCE = tf.constant(
    [2.5 if name == "WRIST" else 1.7 if name[-1] in "14" else 1.0 for name in Joint.__members__], tf.float32
)

#: The weight of each label, and its shape beside the label's.
_WEIGHT_OF = {
    keys.HEATMAPS: (keys.HEATMAPS_WEIGHT, [-1, 1, 1, NUM_JOINTS]),
    keys.POF: (keys.POF_WEIGHT, [-1, 1, 1, 3 * len(BONES)]),
    keys.MASK: (keys.MASK_WEIGHT, [-1, 1, 1, 1]),
    keys.JOINTS_2D: (keys.JOINTS_2D_WEIGHT, [-1, NUM_JOINTS, 1]),
    keys.JOINTS_3D: (keys.JOINTS_3D_WEIGHT, [-1, NUM_JOINTS, 1]),
    keys.VERTICES: (keys.HAS_MESH, [-1, 1, 1]),
    keys.SHAPE: (keys.HAS_PARAMETERS, [-1, 1]),
    keys.POSE: (keys.HAS_PARAMETERS, [-1, 1, 1]),
    keys.ROTATION: (keys.HAS_PARAMETERS, [-1, 1, 1]),
}


def without_unlabelled(gt: dict) -> dict:
    """The labels with 0 where they weigh nothing, whatever stood there: 0 times the gradient of NaN would be NaN."""
    labels = {
        name: tf.where(tf.reshape(gt[key], shape) > 0, gt[name], 0.0)
        for name, (key, shape) in _WEIGHT_OF.items()
        if name in gt
    }
    return gt | labels


def of_label(name: str):
    """The weight that stands beside the label."""
    return lambda gt: gt[name]


def important_joints(gt):
    """2D joints by their importance, [B, 21]."""
    return gt[keys.JOINTS_2D_WEIGHT] * JOINT_IMPORTANCE


def whole_bones(gt):
    """Bones both ends of which are labelled in 3D, [B, 20]."""
    return tf.reduce_min(tf.gather(gt[keys.JOINTS_3D_WEIGHT], BONES, axis=1), axis=-1)


def joints_with_wrist(gt):
    """3D joints of hands whose wrist is labelled, [B, 21]."""
    return gt[keys.JOINTS_3D_WEIGHT] * gt[keys.JOINTS_3D_WEIGHT][:, :1]


def whole_meshes(gt):
    """Meshes whose wrist is labelled too, [B]."""
    return gt[keys.HAS_MESH] * gt[keys.JOINTS_3D_WEIGHT][:, 0]


def whole_parameters(gt):
    """Parameters of hands whose wrist is labelled in 3D too, [B]: they weigh what the 3D labels weigh."""
    return gt[keys.HAS_PARAMETERS] * gt[keys.JOINTS_3D_WEIGHT][:, 0]


def every_joint_of_ssl(gt):
    """Each joint of a self-supervised sample, [B, 21]."""
    return tf.repeat(gt[keys.SSL_WEIGHT][:, tf.newaxis], NUM_JOINTS, axis=1)


def every_sample(gt):
    """1 for each sample, [B]; 0 for one that only fills an empty batch."""
    return gt.get(keys.COUNTED, tf.ones_like(gt[keys.SSL_WEIGHT]))
