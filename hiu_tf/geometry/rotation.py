"""Rotations as axis-angles and matrices. NumPy, batched; `tensor/rotation.py` is the twin for graphs."""

import cv2
import numpy as np

#: Squared angle below which the factor of the Jacobian's last term falls to 0; the term is below 2e-7 there.
_SMALL = 1e-6
_ONE = np.eye(3)
#: The nine entries of a cross-product matrix as sums of the vector's, [3, 9].
_CROSS = np.array([[0, 0, 0, 0, 0, -1, 0, 1, 0], [0, 0, 1, 0, 0, 0, -1, 0, 0], [0, -1, 0, 1, 0, 0, 0, 0, 0]], float)


def cross_matrix(vectors: np.ndarray) -> np.ndarray:
    """Cross-product matrices: v [..., 3] -> M [..., 3, 3] with M x = cross(v, x)."""
    return (vectors @ _CROSS).reshape(*vectors.shape, 3)


def rotation_matrix(axis_angle: np.ndarray) -> np.ndarray:
    """Rodrigues' formula: axis-angle [..., 3] (radians) -> rotation matrix [..., 3, 3]."""
    return rotation_and_jacobian(axis_angle)[0]


def rotation_and_jacobian(axis_angle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """R(w) and the left Jacobian J, [..., 3, 3] each: R(w + dw) = R(J dw) R(w) to first order."""
    squared = np.square(axis_angle).sum(axis=-1)[..., np.newaxis, np.newaxis]
    angle = np.sqrt(squared) / np.pi
    # sin(t)/t, (1 - cos(t))/t^2 and (t - sin(t))/t^3; np.sinc(x) is sin(pi x) / (pi x): 1 at angle 0
    a, b = np.sinc(angle), 0.5 * np.square(np.sinc(0.5 * angle))
    c = (1 - a) / np.maximum(squared, _SMALL)
    turn = cross_matrix(axis_angle)
    twice = turn @ turn
    return _ONE + a * turn + b * twice, _ONE + b * turn + c * twice


def axis_angle(matrix: np.ndarray) -> np.ndarray:
    """Rotation matrix [..., 3, 3] -> axis-angle [..., 3] with an angle in [0, pi]."""
    vectors = [cv2.Rodrigues(one)[0][:, 0] for one in matrix.reshape(-1, 3, 3).astype(float)]
    return np.reshape(vectors, matrix.shape[:-1])


def quaternion(axis_angle: np.ndarray) -> np.ndarray:
    """Axis-angle [..., 3] (radians) -> unit quaternion [..., 4] as (x, y, z, w)."""
    angle = np.linalg.norm(axis_angle, axis=-1, keepdims=True)
    return np.concatenate([0.5 * np.sinc(angle / (2 * np.pi)) * axis_angle, np.cos(0.5 * angle)], axis=-1)
