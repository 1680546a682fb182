"""3D from the crop's virtual camera to the real one, in a graph. Twin of `geometry.window.Window.to_camera`."""

from __future__ import annotations

import tensorflow as tf

from hiu_tf.conventions import keys
from hiu_tf.exporting.crops import Windows
from hiu_tf.geometry.camera import virtual_intrinsics
from hiu_tf.geometry.tensor.camera import look_at_rotation, project


def to_camera(outputs: dict, windows: Windows, intrinsics: tf.Tensor, size: int) -> dict[str, tf.Tensor]:
    """Converts joints and vertices to the camera K where K is given, else keeps the virtual camera; undoes mirroring.

    The wrist keeps its pixel, its depth scales with the focal length, and the hand turns with the ray through the
    crop's centre.

    Args:
      outputs: predictions with joints_3d [B, 21, 3] and vertices [B, V, 3].
      windows: positions of the crops in their pictures.
      intrinsics: K [B, 3, 3] in pixels of the pictures; all zero if unknown.
    """
    virtual = virtual_intrinsics(size)
    joints = outputs[keys.JOINTS_3D]
    known = tf.reduce_all(_focal(intrinsics) > 0, axis=1) & tf.reduce_all(tf.math.is_finite(intrinsics), axis=[1, 2])
    camera = tf.where(known[:, tf.newaxis, tf.newaxis], intrinsics, tf.eye(3))
    mirror = tf.where(windows.is_left, -1.0, 1.0)[:, tf.newaxis, tf.newaxis] * [1.0, 0, 0] + [0.0, 1, 1]
    wrist = windows.to_picture(project(joints[:, :1], virtual), size)[:, 0]
    depth = joints[:, 0, 2:] * camera[:, 0, :1] * size / windows.side[:, tf.newaxis] / virtual[0, 0]
    root = tf.concat([_ray(wrist, camera), tf.ones_like(depth)], axis=1) * depth
    look = look_at_rotation(camera, windows.centre)

    def moved(points):
        real = tf.linalg.matmul((points - joints[:, :1]) * mirror, look) + root[:, tf.newaxis]
        return tf.where(known[:, tf.newaxis, tf.newaxis], real, points * mirror)

    return {name: moved(outputs[name]) for name in (keys.JOINTS_3D, keys.VERTICES)}


def _ray(pixel, camera):
    """(x / z, y / z) of pixels [B, 2]."""
    return (pixel - camera[:, :2, 2]) / _focal(camera)


def _focal(camera):
    return tf.stack([camera[:, 0, 0], camera[:, 1, 1]], axis=1)
