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
    total = tf.add_n([tf.gather(padded, around, axis=1) for around in _faces_around(faces, vertices.shape[1]).T])
    return total / tf.sqrt(tf.reduce_sum(tf.square(total), axis=-1, keepdims=True) + 1e-20)


def close_holes(faces: np.ndarray) -> np.ndarray:
    """Faces [F, 3] with a fan added over every hole, such as the open wrist of MANO; closed meshes stay as they are.

    A hole is a loop of edges that only one face has; its fan starts at one of its own vertices.
    """
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    present = set(map(tuple, edges.tolist()))
    following = {b: a for a, b in present if (b, a) not in present}  # the fan runs against the boundary
    fans = []
    while following:
        first, vertex = following.popitem()
        while vertex in following:
            after = following.pop(vertex)
            if after != first:
                fans.append((first, vertex, after))
            vertex = after
    return np.concatenate([faces, np.array(fans, faces.dtype).reshape(-1, 3)])


def _faces_around(faces, num_vertices):
    """[V, D]: the faces of each vertex, padded with the number of faces."""
    vertex = faces.reshape(-1)
    order = np.argsort(vertex, kind="stable")
    counts = np.bincount(vertex, minlength=num_vertices)
    slot = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    table = np.full((len(counts), counts.max()), len(faces), np.int32)
    table[vertex[order], slot] = order // 3
    return table
