"""Normals, holes and silhouettes of triangle meshes. NumPy and OpenCV."""

import cv2
import numpy as np

_SUBPIXEL_BITS = 4
#: Silhouettes are drawn enlarged, at most this much and to about this size, because OpenCV fills every pixel that a triangle touches.
_MOST_ENLARGED, _DRAWN_SIDE = 9, 1500
_LARGEST = 2.0**30  # OpenCV takes 32 bits


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
    """The pixels [height, width], bool, whose centres a projected mesh [V, 2] covers.

    Exact to about a sixteenth of a pixel for meshes below 150 pixels; to half a pixel for those above 500.
    """
    mask = np.zeros((height, width), bool)
    if not np.isfinite(points).all():
        return mask
    low = np.clip(np.floor(points.min(axis=0)).astype(int), 0, [width, height])
    high = np.clip(np.ceil(points.max(axis=0)).astype(int) + 1, low, [width, height])
    across, down = high - low
    if across * down == 0:
        return mask
    factor = (
        int(np.clip(_DRAWN_SIDE // max(across, down), 1, _MOST_ENLARGED)) - 1 | 1
    )  # odd: pixel centres stay pixel centres
    drawn = np.zeros((factor * down, factor * across), np.uint8)
    corners = (points - low + 0.5) * factor - 0.5
    corners = np.round(np.clip(corners * (1 << _SUBPIXEL_BITS), -_LARGEST, _LARGEST))
    for triangle in corners[faces].astype(np.int32):
        cv2.fillConvexPoly(drawn, triangle, 1, shift=_SUBPIXEL_BITS)
    mask[low[1] : high[1], low[0] : high[0]] = drawn[factor // 2 :: factor, factor // 2 :: factor] > 0
    return mask
