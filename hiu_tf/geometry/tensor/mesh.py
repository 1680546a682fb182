"""Normals of batches of meshes, with gradients."""

import numpy as np
import tensorflow as tf

from hiu_tf.geometry.tensor.rotation import cross


def batch_vertex_normals(vertices: tf.Tensor, faces: np.ndarray) -> tf.Tensor:
    """Area-weighted unit normals [B, V, 3] of meshes [B, V, 3] with the same faces; differentiable, TFLite-safe."""
    a, b, c = (tf.gather(vertices, faces[:, k], axis=1) for k in range(3))
    face_normal = cross(b - a, c - a)
    # Each vertex gathers the normals of its own faces; the padding of shorter lists points at an added zero.
    padded = tf.concat([face_normal, tf.zeros_like(face_normal[:, :1])], axis=1)
    total = tf.add_n([tf.gather(padded, around, axis=1) for around in _faces_around(faces, vertices.shape[1]).T])
    return total / tf.sqrt(tf.reduce_sum(tf.square(total), axis=-1, keepdims=True) + 1e-20)


def _faces_around(faces, num_vertices):
    """[V, D]: the faces of each vertex, padded with the number of faces."""
    vertex = faces.reshape(-1)
    order = np.argsort(vertex, kind="stable")
    counts = np.bincount(vertex, minlength=num_vertices)
    slot = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    table = np.full((len(counts), counts.max()), len(faces), np.int32)
    table[vertex[order], slot] = order // 3
    return table
