"""Normals, holes and silhouettes of triangle meshes. NumPy and OpenCV."""

import cv2
import numpy as np

_SUBPIXEL_BITS = 4


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Area-weighted unit normals [V, 3] of one mesh [V, 3], pointing outwards."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    face_normal = np.cross(b - a, c - a)
    normals = np.stack(
        [sum(np.bincount(faces[:, k], face_normal[:, d], len(vertices)) for k in range(3)) for d in range(3)], axis=-1
    )
    return normals / np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-12)


def close_holes(faces: np.ndarray) -> np.ndarray:
    """Faces [F, 3] plus a fan of faces over every hole, such as MANO's open wrist; closed meshes stay unchanged.

    A hole is a loop of edges that belong to only one face. Its fan starts at one of the loop's vertices.
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


def covered(points: np.ndarray, faces: np.ndarray, height: int, width: int) -> np.ndarray:
    """The pixels [height, width], bool, that a projected mesh [V, 2] covers; a pixel that its edge touches counts."""
    mask = np.zeros((height, width), np.uint8)
    for triangle in np.round(points[faces] * (1 << _SUBPIXEL_BITS)).astype(np.int32):
        cv2.fillConvexPoly(mask, triangle, 1, shift=_SUBPIXEL_BITS)
    return mask > 0
