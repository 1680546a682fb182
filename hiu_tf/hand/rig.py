"""The rig of the procedural hand: joints, skinning weights, blend shapes, joint regressor.

NumPy, float64, metres. Used by tools/build_hand.py alone.
"""

import numpy as np
from scipy.optimize import nnls
from scipy.spatial.transform import Rotation

from hiu_tf.conventions.skeleton import FINGERS, MODEL_JOINT_NAMES, MODEL_PARENTS, NUM_MODEL_JOINTS
from hiu_tf.hand import anatomy

_FINGER_ORDER = ("index", "middle", "little", "ring", "thumb")  # order of the 16 model joints


def rest_joints() -> tuple[np.ndarray, np.ndarray]:
    """Rest positions of the 16 joints [16, 3] and of the 5 bone tips [5, 3] (FINGERS order), metres."""
    chains = {name: anatomy.finger_joints_mm(name) / 1000 for name in anatomy.FINGERS_MM}
    joints = np.concatenate([np.zeros((1, 3))] + [chains[name][:3] for name in _FINGER_ORDER])
    return joints, np.stack([chains[name][3] for name in FINGERS])


def skinning_weights(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Weights [V, 16] that fall off smoothly with the distance to each joint's bones.

    Distances are relative to bone radii, so that a thick thumb base blends over a longer distance
    than a small fingertip. Three smoothing passes over the mesh follow.
    """
    distance = np.full((len(vertices), NUM_MODEL_JOINTS), np.inf)
    for joint, start, end, radius in _bones():
        distance[:, joint] = np.minimum(distance[:, joint], _segment_distance(vertices, start, end) / radius)
    weights = np.exp(
        -((distance - distance.min(axis=1, keepdims=True)) * (distance + distance.min(axis=1, keepdims=True))) / 0.45
    )
    for _ in range(3):
        weights = 0.5 * weights / weights.sum(axis=1, keepdims=True) + 0.5 * _neighbour_mean(weights, faces)
    weights[weights < np.sort(weights, axis=1)[:, -4:-3]] = 0.0
    weights[weights < 0.01] = 0.0
    return weights / weights.sum(axis=1, keepdims=True)


def shape_directions(vertices: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Displacements [V, 3, 10] of `anatomy.SHAPE_DIRECTIONS`, one standard deviation each."""
    joints, _ = rest_joints()
    return np.stack([_shape_displacement(vertices, weights, joints, d) for d in anatomy.SHAPE_DIRECTIONS], axis=-1)


def joint_displacements() -> np.ndarray:
    """Displacement of the 16 joints by each shape direction, [16, 3, 10]."""
    joints, _ = rest_joints()
    return np.stack([_moved_joints(joints, d) - joints for d in anatomy.SHAPE_DIRECTIONS], axis=-1)


def joint_regressor(vertices: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Weights [16, V] >= 0 with J(beta) = regressor @ shaped vertices, sparse, rows summing to 1.

    Fitted to the joints of the rest hand and of all shape directions at once.
    """
    joints, _ = rest_joints()
    moved = joint_displacements()
    rows = []
    for j in range(NUM_MODEL_JOINTS):
        near = np.argsort(np.linalg.norm(vertices - joints[j], axis=1))[:160]
        matrix = np.concatenate(
            [vertices[near].T, 40 * directions[near].reshape(len(near), -1).T, np.ones((1, len(near)))]
        )
        target = np.concatenate([joints[j], 40 * moved[j].reshape(-1), [1.0]])
        scale = np.ones(len(target))
        scale[:3] = 30.0
        solution, _ = nnls(matrix * scale[:, None], target * scale, maxiter=20000)
        row = np.zeros(len(vertices))
        row[near] = solution / solution.sum()
        rows.append(row)
    return np.stack(rows)


def pose_directions(vertices: np.ndarray, weights: np.ndarray, samples: int = 14) -> np.ndarray:
    """Pose blend shapes [V, 3, 135] that restore the volume lost by linear skinning.

    For each joint, rotations within its limits are skinned twice: linearly, and with spherically blended
    rotations (no collapse). The difference, transformed to the rest frame, is fitted as a linear function
    of vec(R - I).
    """
    joints, _ = rest_joints()
    directions = np.zeros((len(vertices), 3, 9 * (NUM_MODEL_JOINTS - 1)))
    rng = np.random.default_rng(7)
    for j in range(1, NUM_MODEL_JOINTS):
        touched = np.flatnonzero(
            (weights[:, _descendants(j)].sum(axis=1) > 1e-3) & (weights[:, _descendants(j)].sum(axis=1) < 1 - 1e-3)
        )
        share = weights[touched][:, _descendants(j)].sum(axis=1)
        rotations = _sample_rotations(j, samples, rng)
        features = np.array([(r.as_matrix() - np.eye(3)).reshape(-1) for r in rotations])
        local = vertices[touched] - joints[j]
        residual = [_volume_correction(local, share, r) for r in rotations]
        gram = features.T @ features + 1e-3 * np.eye(9)
        fit = np.linalg.solve(gram, features.T @ np.stack(residual).reshape(len(rotations), -1))
        directions[touched, :, 9 * (j - 1) : 9 * j] = fit.T.reshape(len(touched), 3, 9)
    return directions


def tip_vertices(vertices: np.ndarray) -> np.ndarray:
    """The vertex farthest along each finger, [5] in FINGERS order."""
    joints, tips = rest_joints()
    last = [joints[MODEL_JOINT_NAMES.index(f"{name}3")] for name in FINGERS]
    found = []
    for start, end in zip(last, tips):
        axis = (end - start) / np.linalg.norm(end - start)
        near = np.linalg.norm(vertices - end, axis=1) < 0.014
        found.append(int(np.flatnonzero(near)[np.argmax((vertices[near] - start) @ axis)]))
    return np.array(found, np.int32)


def _volume_correction(local, share, rotation):
    """Rest-frame displacement that corrects linear skinning of one joint to spherical skinning."""
    matrix = rotation.as_matrix()
    blended = (1 - share)[:, None, None] * np.eye(3) + share[:, None, None] * matrix
    spherical = Rotation.from_rotvec(share[:, None] * rotation.as_rotvec()).apply(local)
    return np.linalg.solve(blended, spherical[..., None])[..., 0] - local


def _sample_rotations(joint, count, rng):
    name = MODEL_JOINT_NAMES[joint]
    limits = np.deg2rad(anatomy.LIMITS_DEG["thumb" if name.startswith("thumb") else "finger"][int(name[-1]) - 1])
    angles = rng.uniform(limits[:, 0], limits[:, 1], size=(count, 3))
    return [Rotation.from_rotvec(a @ anatomy.joint_axes(name[:-1])) for a in angles]


def _bones():
    """(joint, start, end, radius) in metres of every bone of every joint; the palm has several."""
    for start, end, r0, r1 in anatomy.PALM_CAPSULES[:4]:
        start, end = np.array(start) / 1000, np.array(end) / 1000
        yield 0, start, start + 0.86 * (end - start), (r0 + r1) / 2000
    yield 0, np.array([0.04, 0, 0]), np.zeros(3), 0.02
    for i, name in enumerate(_FINGER_ORDER):
        chain, radii = anatomy.finger_joints_mm(name) / 1000, anatomy.FINGERS_MM[name].radii
        for k in range(3):
            yield 1 + 3 * i + k, chain[k], chain[k + 1], (radii[k] + radii[k + 1]) / 2000


def _shape_displacement(vertices, weights, joints, direction):
    moved = _moved_joints(joints, direction)
    displaced = np.zeros_like(vertices)
    for j, name in enumerate(MODEL_JOINT_NAMES):
        matrix = np.eye(3) + _bone_scale(name, direction)
        displaced += weights[:, j : j + 1] * ((vertices - joints[j]) @ matrix.T + moved[j])
    return displaced - vertices


def _moved_joints(joints, direction):
    moved = joints.copy()
    for j in range(1, NUM_MODEL_JOINTS):
        parent = MODEL_PARENTS[j]
        matrix = np.eye(3) + _bone_scale(MODEL_JOINT_NAMES[parent], direction)
        moved[j] = moved[parent] + matrix @ (joints[j] - joints[parent])
    return moved


def _bone_scale(name, direction):
    """Symmetric matrix [3, 3]: the relative stretch of one bone under a shape direction."""
    if name == "wrist":
        return np.diag(direction.palm)
    length, thickness = (direction.fingers or {}).get(name[:-1], (0.0, 0.0))
    thickness -= direction.taper * (int(name[-1]) - 2)
    chain = anatomy.finger_joints_mm(name[:-1])
    axis = chain[int(name[-1])] - chain[int(name[-1]) - 1]
    axis /= np.linalg.norm(axis)
    return thickness * np.eye(3) + (length - thickness) * np.outer(axis, axis)


def _descendants(joint):
    found = [joint]
    for j in range(joint + 1, NUM_MODEL_JOINTS):
        if MODEL_PARENTS[j] in found:
            found.append(j)
    return found


def _segment_distance(points, start, end):
    axis = end - start
    t = np.clip((points - start) @ axis / (axis @ axis), 0.0, 1.0)
    return np.linalg.norm(points - start - t[:, None] * axis, axis=1)


def _neighbour_mean(values, faces):
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    total = np.zeros_like(values)
    count = np.zeros(len(values))
    for a, b in (edges.T, edges.T[::-1]):
        np.add.at(total, a, values[b])
        np.add.at(count, a, 1)
    return total / count[:, None] / values.sum(axis=1, keepdims=True)
