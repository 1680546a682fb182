"""Rotations as axis-angles and matrices. NumPy, batched; `tensor/rotation.py` is the twin for graphs."""

import cv2
import numpy as np

_SMALL = 1e-6  # squared angle below which the series replaces the quotient


def cross_matrix(vectors: np.ndarray) -> np.ndarray:
    """Cross-product matrices: v [..., 3] -> M [..., 3, 3] with M x = cross(v, x)."""
    matrix = np.zeros((*vectors.shape, 3))
    matrix[..., 2, 1], matrix[..., 0, 2], matrix[..., 1, 0] = vectors[..., 0], vectors[..., 1], vectors[..., 2]
    return matrix - np.swapaxes(matrix, -1, -2)


def rotation_matrix(axis_angle: np.ndarray) -> np.ndarray:
    """Rodrigues' formula: axis-angle [..., 3] (radians) -> rotation matrix [..., 3, 3]."""
    return rotation_and_jacobian(axis_angle)[0]


def rotation_and_jacobian(axis_angle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """R(w) and the left Jacobian J, [..., 3, 3] each: R(w + dw) = R(J dw) R(w) to first order."""
    squared = np.sum(np.square(axis_angle), axis=-1)[..., np.newaxis, np.newaxis]
    small = squared < _SMALL
    safe = np.where(small, 1.0, squared)
    angle = np.sqrt(safe)
    # sin(t)/t, (1 - cos(t))/t^2 and (t - sin(t))/t^3
    a = np.where(small, 1 - squared / 6, np.sin(angle) / angle)
    b = np.where(small, 0.5 - squared / 24, 2 * np.square(np.sin(0.5 * angle)) / safe)
    c = np.where(small, 1 / 6 - squared / 120, (1 - a) / safe)
    turn = cross_matrix(axis_angle)
    twice = turn @ turn
    return np.eye(3) + a * turn + b * twice, np.eye(3) + b * turn + c * twice


def axis_angle(matrix: np.ndarray) -> np.ndarray:
    """Rotation matrix [..., 3, 3] -> axis-angle [..., 3] with an angle in [0, pi]."""
    vectors = [cv2.Rodrigues(one)[0][:, 0] for one in matrix.reshape(-1, 3, 3).astype(float)]
    return np.reshape(vectors, matrix.shape[:-1])


def quaternion(axis_angle: np.ndarray) -> np.ndarray:
    """Axis-angle [..., 3] (radians) -> unit quaternion [..., 4] as (x, y, z, w)."""
    angle = np.linalg.norm(axis_angle, axis=-1, keepdims=True)
    # np.sinc(x) is sin(pi x) / (pi x): 1 at angle 0
    return np.concatenate([0.5 * np.sinc(angle / (2 * np.pi)) * axis_angle, np.cos(0.5 * angle)], axis=-1)
