"""Normals of triangle meshes: NumPy for pictures and files, TensorFlow for batches and gradients."""

import numpy as np
import tensorflow as tf

from hiu_tf.geometry.rotation import cross


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Area-weighted unit normals [V, 3] of one mesh [V, 3], pointing outwards."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    face_normal = np.cross(b - a, c - a)
    normals = np.stack(
        [sum(np.bincount(faces[:, k], face_normal[:, d], len(vertices)) for k in range(3)) for d in range(3)], axis=-1
    )
    return normals / np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-12)


def batch_vertex_normals(vertices: tf.Tensor, faces: np.ndarray) -> tf.Tensor:
    """The same for meshes [B, V, 3] with common faces -> [B, V, 3]; differentiable, TFLite-safe."""
    a, b, c = (tf.gather(vertices, faces[:, k], axis=1) for k in range(3))
    face_normal = cross(b - a, c - a)
    # Each vertex gathers from its own faces; the missing ones of small fans point at an added zero.
    padded = tf.concat([face_normal, tf.zeros_like(face_normal[:, :1])], axis=1)
    total = tf.add_n([tf.gather(padded, around, axis=1) for around in _faces_around(faces).T])
    return total / tf.sqrt(tf.reduce_sum(tf.square(total), axis=-1, keepdims=True) + 1e-20)


def _faces_around(faces):
    """[V, D]: the faces of each vertex, padded with the number of faces."""
    vertex = faces.reshape(-1)
    order = np.argsort(vertex, kind="stable")
    counts = np.bincount(vertex)
    slot = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    table = np.full((len(counts), counts.max()), len(faces), np.int32)
    table[vertex[order], slot] = order // 3
    return table
