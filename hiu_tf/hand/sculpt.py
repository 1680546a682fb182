"""The skin of the procedural hand: a mesh of the smooth union of tapered capsules.

Fingers blend into the palm but never into each other. Used by tools/build_hand.py alone.
"""

import numpy as np

from hiu_tf.hand import anatomy

VOXEL_MM = 1.6
_BLEND_FINGER_MM = 2.5
_BLEND_PALM_MM = 7.0
_BLEND_JUNCTION_MM = 5.0


def hand_distance(points: np.ndarray) -> np.ndarray:
    """Signed distance (mm, negative inside) of points [N, 3] mm to the hand at rest, [N]."""
    palm = _palm_distance(points)
    parts = [_smooth_min(palm, _finger_distance(points, name), _BLEND_JUNCTION_MM) for name in anatomy.FINGERS_MM]
    hand = np.min(parts, axis=0)
    return np.maximum(hand, points[:, 0] - anatomy.WRIST_CUT_MM)


def build_skin(num_vertices: int) -> tuple[np.ndarray, np.ndarray]:
    """Meshes the hand: vertices [V, 3] mm and outward counter-clockwise faces [F, 3]."""
    import fast_simplification
    import trimesh
    from skimage.measure import marching_cubes

    low, high = np.array([-205.0, -60.0, -90.0]), np.array([36.0, 45.0, 125.0])
    axes = [np.arange(a, b, VOXEL_MM) for a, b in zip(low, high)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    volume = hand_distance(grid.reshape(-1, 3)).reshape(grid.shape[:3])
    vertices, faces, _, _ = marching_cubes(volume, 0.0, spacing=(VOXEL_MM,) * 3)
    vertices, faces = fast_simplification.simplify(
        (vertices + low).astype(np.float32), faces.astype(np.int32), target_count=2 * num_vertices - 4
    )
    mesh = trimesh.Trimesh(vertices, faces, process=True)
    mesh = max(mesh.split(only_watertight=False), key=lambda part: len(part.vertices))
    trimesh.smoothing.filter_taubin(mesh, iterations=4)
    mesh.fix_normals()
    if mesh.volume < 0:
        mesh.invert()
    if not mesh.is_watertight:
        raise RuntimeError("the skin of the hand is not closed: lower the decimation")
    return np.asarray(mesh.vertices), np.asarray(mesh.faces, np.int32)


def _palm_distance(points):
    distance = None
    for start, end, r0, r1 in anatomy.PALM_CAPSULES:
        capsule = _capsule(points, start, end, r0, r1)
        distance = capsule if distance is None else _smooth_min(distance, capsule, _BLEND_PALM_MM)
    start, end, r0, r1 = anatomy.WRIST_CAPSULE
    squash = np.array([1.0, anatomy.WRIST_FLATTENING, 1.0])
    wrist = _capsule(points * squash, np.array(start) * squash, np.array(end) * squash, r0, r1)
    return _smooth_min(distance, wrist / anatomy.WRIST_FLATTENING, 2 * _BLEND_PALM_MM)


def _finger_distance(points, name):
    joints = anatomy.finger_joints_mm(name)
    radii = anatomy.FINGERS_MM[name].radii
    ends = joints.copy()
    ends[3] = joints[3] + (joints[2] - joints[3]) / np.linalg.norm(joints[2] - joints[3]) * radii[3] * 0.35
    distance = None
    for k in range(3):
        bone = _capsule(points, ends[k], ends[k + 1], radii[k], radii[k + 1])
        distance = bone if distance is None else _smooth_min(distance, bone, _BLEND_FINGER_MM)
    return distance


def _capsule(points, start, end, r0, r1):
    """Distance to a capsule whose radius changes linearly from r0 to r1."""
    start, axis = np.asarray(start, float), np.asarray(end, float) - np.asarray(start, float)
    t = np.clip((points - start) @ axis / (axis @ axis), 0.0, 1.0)
    return np.linalg.norm(points - start - t[:, None] * axis, axis=1) - (r0 + (r1 - r0) * t)


def _smooth_min(a, b, k):
    """Polynomial smooth minimum: equal to min(a, b) where they differ by more than k."""
    h = np.maximum(k - np.abs(a - b), 0.0) / k
    return np.minimum(a, b) - h * h * k * 0.25
