"""Windows: box -> window -> similarity -> virtual camera. NumPy. All crops of the project are defined here.

Pixel (0, 0) is the centre of the first pixel. A box (x, y, width, height) spans the points from (x, y) to
(x + width, y + height). `tensor/window.py` is the twin for batches in a graph.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from hiu_tf.conventions.skeleton import Joint
from hiu_tf.geometry.camera import look_at_rotation, project, ray, virtual_intrinsics

#: Side of a window relative to the longer side of the hand's box, in evaluation and at run time. Training
#: draws random scales around it. A model's card says with which scale the model was measured.
SCALE = 1.5
#: Minimum side of a hand's box in pixels of its picture; smaller boxes are treated as this large.
MIN_SIDE = 4.0


@dataclass(frozen=True)
class Window:
    """A square of a picture that is resampled to a crop of size x size pixels.

    Attributes:
      centre: (x, y) pixels of the picture.
      side: side of the square, pixels of the picture.
      size: side of the crop, pixels.
      mirrored: whether the crop shows the picture's mirror image, as it does for left hands.
      angle: radians by which the (mirrored) picture is turned, from x towards y.
    """

    centre: tuple[float, float]
    side: float
    size: int
    mirrored: bool = False
    angle: float = 0.0

    @property
    def affine(self) -> np.ndarray:
        """Affine transformation [2, 3]: picture pixels -> crop pixels."""
        scale, middle = self.size / self.side, 0.5 * (self.size - 1)
        a, b = scale * math.cos(self.angle), scale * math.sin(self.angle)
        turn = np.array([[a, -b], [b, a]]) * [[-1.0 if self.mirrored else 1.0, 1.0]]
        return np.concatenate([turn, (middle - turn @ self.centre)[:, np.newaxis]], axis=1)

    def other_side(self) -> Window:
        """The window that shows the same hand, as upright as this one does, as one of the other side."""
        return replace(self, mirrored=not self.mirrored, angle=-self.angle)

    def to_crop(self, points: np.ndarray) -> np.ndarray:
        """Picture pixels [..., 2] -> crop pixels."""
        affine = self.affine
        return points @ affine[:, :2].T + affine[:, 2]

    def to_picture(self, points: np.ndarray) -> np.ndarray:
        """Crop pixels [..., 2] -> picture pixels."""
        affine = self.affine
        return (points - affine[:, 2]) @ np.linalg.inv(affine[:, :2]).T

    def rotation_to_camera(self, K: np.ndarray) -> np.ndarray:
        """Matrix [3, 3]: virtual camera of the crop -> axes of the camera K. Includes a reflection if mirrored."""
        flip = np.diag([-1.0 if self.mirrored else 1.0, 1.0, 1.0])
        return look_at_rotation(K, self.centre).T @ flip @ _about_axis(-self.angle)

    def camera_axes(self) -> np.ndarray:
        """The same for unknown K: the axes of a camera that looks at the middle of the window."""
        return np.diag([-1.0 if self.mirrored else 1.0, 1.0, 1.0]) @ _about_axis(-self.angle)

    def to_camera(self, points: np.ndarray, wrist: np.ndarray, K: np.ndarray) -> np.ndarray:
        """Converts points [..., 3] from the virtual camera to the camera K, metres.

        The wrist [3] keeps its pixel, its depth scales with the focal length, and the hand turns with the ray
        through the window's centre.
        """
        virtual = virtual_intrinsics(self.size)
        depth = wrist[2] * K[0, 0] * self.size / self.side / virtual[0, 0]
        root = ray(self.to_picture(project(wrist, virtual)), K) * depth
        return (points - wrist) @ self.rotation_to_camera(K).T + root


def box_of_hand(joints: np.ndarray, detected: tuple | None) -> tuple[float, float, float, float]:
    """The box (x, y, width, height) around 2D joints [21, 2], and halfway to the detector's box if there is one."""
    own = tuple(float(value) for value in box_of(joints))
    return own if detected is None else tuple((a + float(b)) / 2 for a, b in zip(own, detected))


def around_box(box, size: int, mirrored: bool = False, angle: float = 0.0, scale: float = SCALE) -> Window:
    """The window around a hand's box (x, y, width, height)."""
    x, y, width, height = map(float, box)
    return Window((x + width / 2, y + height / 2), scale * max(width, height, MIN_SIDE), size, mirrored, angle)


def box_of(points: np.ndarray) -> tuple[float, float, float, float]:
    """The tight box (x, y, width, height) of points [N, 2]."""
    low, high = points.min(axis=0), points.max(axis=0)
    return float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1])


def around_hand(joints: np.ndarray, window: Window, scale: float = SCALE) -> Window:
    """The upright window around 2D joints [21, 2] (picture pixels): in the crop, wrist to middle finger points up.

    The window surrounds the tight box of the joints in the turned crop.
    """
    upright = replace(window, angle=0.0)
    x, y = np.diff(upright.to_crop(joints[[Joint.WRIST, Joint.MIDDLE1]]), axis=0)[0]
    upright = replace(window, angle=-math.pi / 2 - math.atan2(y, x))
    box_x, box_y, width, height = box_of(upright.to_crop(joints))
    centre = upright.to_picture(np.array([box_x + width / 2, box_y + height / 2]))
    longer = max(width, height) * window.side / window.size
    return replace(upright, centre=tuple(map(float, centre)), side=scale * max(longer, MIN_SIDE))


def _about_axis(angle):
    """Rotation [3, 3] about the optical axis, from x towards y."""
    a, b = math.cos(angle), math.sin(angle)
    return np.array([[a, -b, 0], [b, a, 0], [0, 0, 1.0]])
