"""Square crops of a picture: cut out, mirror, and take predictions back to the picture. NumPy + OpenCV."""

from dataclasses import dataclass

import cv2
import numpy as np

#: Side of the crop relative to the longer side of the hand's box, as in training.
CROP_SCALE = 1.6
#: Windows that are searched when nobody says where the hand is: side relative to the picture's
#: shorter side, and the step between windows relative to the window.
SEARCH_SCALES = (1.0, 0.7, 0.5)
SEARCH_STEP = 0.5
#: Of the picture's longer side: no smaller windows, however thin the picture.
SMALLEST_WINDOW = 0.125


@dataclass(frozen=True)
class Crop:
    """A square window of a picture, drawn at size x size, mirrored for a left hand.

    Attributes:
      centre: (x, y) pixels of the picture.
      side: of the window, pixels of the picture.
      mirrored: whether the crop shows the picture's mirror image.
      size: of the crop, pixels.
    """

    centre: tuple[float, float]
    side: float
    mirrored: bool
    size: int

    @property
    def affine(self) -> np.ndarray:
        """[2, 3]: picture pixels -> crop pixels."""
        scale = self.size / self.side
        direction = -scale if self.mirrored else scale
        middle = 0.5 * (self.size - 1)
        x, y = self.centre
        return np.array([[direction, 0, middle - direction * x], [0, scale, middle - scale * y]])

    def cut(self, picture: np.ndarray) -> np.ndarray:
        """The crop [size, size, 3] float32 in [0, 1] of an RGB picture [H, W, 3] uint8; outside is black."""
        affine = self.affine
        shrink = int(np.clip(self.side / self.size / 1.5, 1, 16))
        if shrink > 1:  # average first, so that nothing aliases
            height, width = picture.shape[:2]
            small = cv2.resize(
                picture, (max(width // shrink, 1), max(height // shrink, 1)), interpolation=cv2.INTER_AREA
            )
            ratio = np.array([width / small.shape[1], height / small.shape[0]])
            grow = np.array([[ratio[0], 0, 0.5 * ratio[0] - 0.5], [0, ratio[1], 0.5 * ratio[1] - 0.5], [0, 0, 1]])
            affine, picture = affine @ grow, small
        crop = cv2.warpAffine(picture, affine, (self.size, self.size), flags=cv2.INTER_LINEAR)
        return crop.astype(np.float32) / 255.0

    def to_picture(self, points: np.ndarray) -> np.ndarray:
        """Crop pixels [..., 2] -> picture pixels."""
        affine = self.affine
        return (points - affine[:, 2]) / np.diag(affine)

    def mask_to_picture(self, mask: np.ndarray, height: int, width: int) -> np.ndarray:
        """A mask [size, size] in [0, 1] drawn where it belongs, [height, width] float32."""
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(mask.astype(np.float32), self.affine, (width, height), flags=flags)


def around_box(box, mirrored: bool, size: int) -> Crop:
    """The crop around a hand's box (x, y, width, height)."""
    x, y, width, height = map(float, box)
    return Crop((x + 0.5 * (width - 1), y + 0.5 * (height - 1)), CROP_SCALE * max(width, height, 4.0), mirrored, size)


def box_of(points: np.ndarray) -> tuple[float, float, float, float]:
    """The tight box (x, y, width, height) of points [N, 2]."""
    low, high = points.min(axis=0), points.max(axis=0)
    return float(low[0]), float(low[1]), float(high[0] - low[0] + 1), float(high[1] - low[1] + 1)


def search_windows(height: int, width: int, mirrored: bool, size: int) -> list[Crop]:
    """Windows of several sizes over the whole picture, the largest first."""
    windows = [Crop(((width - 1) / 2, (height - 1) / 2), float(max(height, width)), mirrored, size)]
    for scale in SEARCH_SCALES:
        side = max(scale * min(height, width), SMALLEST_WINDOW * max(height, width))
        for y in _steps(height, side):
            windows += [Crop((x, y), side, mirrored, size) for x in _steps(width, side)]
    return windows


def _steps(length, side):
    """Centres of windows of `side` that cover `length` with overlap."""
    count = 1 + int(np.ceil(max(length - side, 0) / (SEARCH_STEP * side) - 1e-6))
    return np.linspace(side / 2 - 0.5, length - side / 2 - 0.5, count) if count > 1 else [(length - 1) / 2]
