"""The posed hand: shape, pose, rotation and translation, and the mesh and joints computed from them."""

from dataclasses import replace

import numpy as np
import tensorflow as tf

from hiu_tf.conventions import keys
from hiu_tf.conventions.skeleton import BONES, NUM_JOINTS, Joint
from hiu_tf.geometry.camera import virtual_intrinsics
from hiu_tf.geometry.tensor.camera import project
from hiu_tf.geometry.tensor.rotation import rotation_matrix
from hiu_tf.hand.layer import pose_hand
from hiu_tf.metrics.mask import in_picture
from hiu_tf.metrics.metric import Metric
from hiu_tf.metrics.protocols import ALIGNED, ALL_VERTICES, MASK_PROTOCOLS, OF_BOX, PIXELS_0_30, ROOT
from hiu_tf.metrics.streaming import Joints2DAUC, Joints3DError
from hiu_tf.runtime.draw import draw_mesh
from hiu_tf.tasks.base import HandParameters, Label, Loss, Output, Task, distance

#: Weight of each joint in the projected 2D loss: wrist 2.5, finger roots and tips 1.7, others 1.
JOINT_IMPORTANCE = np.array(  # no tensor: one that is made while modules load forbids a training of several workers
    [2.5 if name == "WRIST" else 1.7 if name[-1] in "14" else 1.0 for name in Joint.__members__], np.float32
)
_PARAMETERS = (keys.SHAPE, keys.POSE, keys.ROTATION, keys.TRANSLATION)
_MAY_BE = (keys.VERTICES, keys.HAS_MESH, keys.SHAPE, keys.POSE, keys.ROTATION, keys.HAS_PARAMETERS)


def encode(batch, crop):
    """Labels: joints in 2D and 3D, and mesh and parameters if the pipeline has read them."""
    del crop
    joints = (keys.JOINTS_2D, keys.JOINTS_2D_WEIGHT, keys.JOINTS_3D, keys.JOINTS_3D_WEIGHT)
    return {key: batch[key] for key in (*joints, *_MAY_BE) if key in batch}


def read(outputs, hand, size):
    """Predictions: vertices and joints in the crop's virtual camera, and the projected joints."""
    posed = pose_hand(hand, *(outputs[key] for key in _PARAMETERS))
    return posed | {keys.JOINTS_2D_PROJECTED: project(posed[keys.JOINTS_3D], virtual_intrinsics(size))}


def joints_2d(gt, pred):
    """Distance of the projected joints to the labels, as a share of the crop's side, [B, 21]."""
    return distance(pred[keys.JOINTS_2D_PROJECTED], gt[keys.JOINTS_2D]) / pred[keys.CROP_SIDE]


def bone_direction(gt, pred):
    """1 - cos of the angle between predicted and labelled bones in 3D, [B, 20]."""
    return 1.0 - tf.reduce_sum(_unit_bones(pred[keys.JOINTS_3D]) * _unit_bones(gt[keys.JOINTS_3D]), axis=-1)


def joints_3d(gt, pred):
    """Distance of the joints in 3D relative to the wrist, metres, [B, 21]."""
    return distance(_from_wrist(pred[keys.JOINTS_3D]), _from_wrist(gt[keys.JOINTS_3D]))


def vertices(gt, pred):
    """Mean distance of the vertices in 3D relative to the wrist, metres, [B]."""
    found = pred[keys.VERTICES] - pred[keys.JOINTS_3D][:, :1]
    return tf.reduce_mean(distance(found, gt[keys.VERTICES] - gt[keys.JOINTS_3D][:, :1]), axis=1)


def shape(gt, pred):
    """Mean squared difference of beta, [B]."""
    return tf.reduce_mean(tf.square(pred[keys.SHAPE] - gt[keys.SHAPE]), axis=1)


def pose(gt, pred):
    """Mean squared difference of theta (axis-angle, radians), [B]."""
    return tf.reduce_mean(tf.square(pred[keys.POSE] - gt[keys.POSE]), axis=[1, 2])


def rotation(gt, pred):
    """Angle between predicted and labelled R, radians, [B]; labels are matrices [B, 3, 3]."""
    difference = rotation_matrix(pred[keys.ROTATION]) - gt[keys.ROTATION]
    squared = tf.reduce_sum(tf.square(difference), axis=[1, 2]) / 8.0  # sin(angle / 2) ^ 2
    # Avoids 0 and 180 degrees, where the angle has no derivative.
    return 2.0 * tf.atan2(tf.sqrt(squared + 1e-12), tf.sqrt(tf.maximum(1.0 - squared, 1e-6)))


def silhouette(gt, pred):
    """L1 between the rendered mask and the labelled one, mean over pixels, [B]; nothing counts beyond the picture."""
    return tf.reduce_mean(in_picture(gt, tf.abs(pred[keys.RENDERED_MASK] - gt[keys.MASK][..., 0])), axis=[1, 2])


def masks_of_whole_hands(gt):
    """Weights of masks, 0 where the crop shows a part of a hand or a left one, which the mesh cannot be, [B]."""
    return gt[keys.MASK_WEIGHT] * gt[keys.WHOLE]


def pose_prior(gt, pred):
    """Mean square of the pose, [B]; needs no label."""
    del gt
    return tf.reduce_mean(tf.square(pred[keys.POSE]), axis=[1, 2])


def shape_prior(gt, pred):
    """Mean square of the shape, [B]; needs no label."""
    del gt
    return tf.reduce_mean(tf.square(pred[keys.SHAPE]), axis=1)


def important_joints(gt):
    """Weights of 2D joints times their importance, [B, 21]."""
    return gt[keys.JOINTS_2D_WEIGHT] * JOINT_IMPORTANCE


def whole_bones(gt):
    """Weights of bones with both joints labelled in 3D, [B, 20]."""
    return tf.reduce_min(tf.gather(gt[keys.JOINTS_3D_WEIGHT], BONES, axis=1), axis=-1)


def joints_with_wrist(gt):
    """Weights of 3D joints of hands with a labelled wrist, no larger than the wrist's, [B, 21]."""
    return tf.minimum(gt[keys.JOINTS_3D_WEIGHT], gt[keys.JOINTS_3D_WEIGHT][:, :1])


def whole_meshes(gt):
    """Weights of meshes of hands with a labelled wrist, [B]."""
    return gt[keys.HAS_MESH] * gt[keys.JOINTS_3D_WEIGHT][:, 0]


def whole_parameters(gt):
    """Weights of parameters of hands with a wrist labelled in 3D, [B], multiplied by the wrist's weight."""
    return gt[keys.HAS_PARAMETERS] * gt[keys.JOINTS_3D_WEIGHT][:, 0]


def every_sample(gt):
    """1 for each sample, [B]; 0 for a dummy sample that fills an empty batch."""
    return gt.get(keys.COUNTED, tf.ones_like(gt[keys.SSL_WEIGHT]))


def draw(picture, found, hand):
    """Draws the mesh over the picture."""
    vertices = found[keys.VERTICES]
    flat = vertices @ virtual_intrinsics(len(picture)).T
    return draw_mesh(picture, vertices, flat[:, :2] / flat[:, 2:].clip(1e-3), hand.faces)


def _unit_bones(joints):
    bones = tf.gather(joints, BONES[:, 1], axis=1) - tf.gather(joints, BONES[:, 0], axis=1)
    return bones / tf.sqrt(tf.reduce_sum(tf.square(bones), axis=-1, keepdims=True) + 1e-12)


def _from_wrist(joints):
    return joints - joints[:, :1]


_PROJECTED = (keys.JOINTS_2D_PROJECTED, keys.JOINTS_2D, keys.JOINTS_2D_WEIGHT)
_JOINTS = (keys.JOINTS_3D, keys.JOINTS_3D, keys.JOINTS_3D_WEIGHT)
_MESH = (keys.VERTICES, keys.VERTICES, keys.HAS_MESH)
_CAMERA = "metres, virtual camera of the crop"

HAND = Task(
    name="hand",
    head=HandParameters(),
    raw=_PARAMETERS,
    encode=encode,
    read=read,
    labels={
        keys.JOINTS_2D: Label(keys.JOINTS_2D_WEIGHT, (-1, NUM_JOINTS, 1)),
        keys.JOINTS_3D: Label(keys.JOINTS_3D_WEIGHT, (-1, NUM_JOINTS, 1)),
        keys.VERTICES: Label(keys.HAS_MESH, (-1, 1, 1)),
        keys.SHAPE: Label(keys.HAS_PARAMETERS, (-1, 1)),
        keys.POSE: Label(keys.HAS_PARAMETERS, (-1, 1, 1)),
        keys.ROTATION: Label(keys.HAS_PARAMETERS, (-1, 1, 1)),
    },
    losses={
        "joints_2d": Loss(joints_2d, important_joints, 20.0),
        "bone_direction": Loss(bone_direction, whole_bones, 10.0),
        "joints_3d": Loss(joints_3d, joints_with_wrist),
        "vertices": Loss(vertices, whole_meshes, of_mesh=True),
        "shape": Loss(shape, whole_parameters, of_mesh=True),
        "pose": Loss(pose, whole_parameters, of_mesh=True),
        "rotation": Loss(rotation, whole_parameters, of_mesh=True),
        "silhouette": Loss(silhouette, masks_of_whole_hands, 0.01, between=("mask",), renders=True),
        "pose_prior": Loss(pose_prior, every_sample, 10.0),
        "shape_prior": Loss(shape_prior, every_sample, 10.0),
    },
    outputs={
        keys.JOINTS_3D: Output((NUM_JOINTS, 3), _CAMERA),
        keys.VERTICES: Output(("V", 3), _CAMERA),
        keys.JOINTS_2D_PROJECTED: Output((NUM_JOINTS, 2), "x, y in pixels of the crop, projected from joints_3d"),
        keys.SHAPE: Output((10,), "beta, standard deviations"),
        keys.POSE: Output((15, 3), "theta, axis-angle, radians"),
        keys.ROTATION: Output((3,), "R, axis-angle, hand frame to the crop's virtual camera"),
        keys.TRANSLATION: Output((3,), "T, metres"),
    },
    streaming=lambda size: [
        Joints2DAUC("projected_2d_auc", keys.JOINTS_2D_PROJECTED, size),
        Joints3DError("joints_3d_root", aligned=False),
        Joints3DError("joints_3d_aligned", aligned=True),
    ],
    metrics=(
        Metric("projected_2d_auc", PIXELS_0_30, *_PROJECTED, "auc"),
        Metric("projected_2d_box_error", OF_BOX, *_PROJECTED, "sample mean"),
        Metric("rendered_mask_iou", MASK_PROTOCOLS["iou"], keys.RENDERED_MASK, keys.MASK, keys.MASK_WEIGHT),
        Metric("joints_3d_root", ROOT, *_JOINTS),
        Metric("joints_3d_aligned", ALIGNED, *_JOINTS),
        Metric("joints_3d_aligned_auc", ALIGNED, *_JOINTS, "auc"),
        Metric("mesh_root", replace(ROOT, **ALL_VERTICES), *_MESH),
        Metric("mesh_aligned", replace(ALIGNED, **ALL_VERTICES), *_MESH),
        Metric("mesh_aligned_auc", replace(ALIGNED, **ALL_VERTICES), *_MESH, "auc"),
    ),
    draw=draw,
)
