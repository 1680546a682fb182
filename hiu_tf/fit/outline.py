"""Evidence from masks: the mesh covers the hand of the mask, and nothing else. NumPy and OpenCV, batched.

A vertex outside of the mask is pulled to it, and the mesh is pulled to points of the mask's outline that it does not
reach. Beyond the wrist nothing is evidence: a mask may contain the arm or not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from hiu_tf.conventions.skeleton import Joint
from hiu_tf.fit.chain import NUM_PARAMETERS, Posed
from hiu_tf.fit.skin import Skin
from hiu_tf.geometry.camera import MIN_DEPTH

#: The mask is sampled on a square of this many cells by default, this much larger than the hand's box.
CELLS, MARGIN = 128, 1.6
#: Number of points of the outline that are used, and of vertices that are tested against the mask.
POINTS, TESTED = 96, 300
_ROOTS = [Joint.INDEX1, Joint.MIDDLE1, Joint.RING1, Joint.LITTLE1]


@dataclass(frozen=True)
class Outlines:
    """Masks of N right hands. For a hand without one, `outside` and `normals` are 0.

    Attributes:
      outside: [N, C, C] float32, distance in pixels of each cell from the mask; 0 inside it, beyond the wrist and
        outside of the picture.
      corner: [N, 2] pixel of the first cell's centre, cell: [N] pixels between cells.
      points: [N, P, 2] points of the outline, pixels, normals: [N, P, 2] outward unit vectors, or 0.
    """

    outside: np.ndarray
    corner: np.ndarray
    cell: np.ndarray
    points: np.ndarray
    normals: np.ndarray

    def part(self, rows) -> Outlines:
        """Returns the outlines of a subset of the hands."""
        return Outlines(**{name: value[rows] for name, value in vars(self).items()})


def outlines_of(
    masks: list[np.ndarray | None],
    joints_2d: np.ndarray,
    flips: np.ndarray,
    known: list[np.ndarray | None] | None = None,
    cells: int = CELLS,
) -> Outlines:
    """Makes evidence from masks.

    Args:
      masks: of N hands, [height, width] bool, or None.
      joints_2d: [N, 21, 2] pixels, as right hands (x negated for left ones).
      flips: [N], -1 for left hands, whose masks are mirrored likewise.
      known: [height, width] bool for each hand, False where its mask is no evidence; None: it is evidence everywhere.
      cells: C.
    """
    each = [_outline(*one, cells) for one in zip(masks, joints_2d, flips, known or [None] * len(masks))]
    return Outlines(*(np.stack(values) for values in zip(*each)))


def _outline(mask, joints, flip, known, size):
    low, high = joints.min(axis=0), joints.max(axis=0)
    cell = max(float((high - low).max()), 1.0) * MARGIN / (size - 1)
    corner = (low + high) / 2 - cell * (size - 1) / 2
    points, normals, nothing = np.zeros((POINTS, 2)), np.zeros((POINTS, 2)), np.zeros((size, size), np.float32)
    if mask is None:
        return nothing, corner, cell, points, normals
    to_mask = np.array([[flip * cell, 0, flip * corner[0]], [0, cell, corner[1]]])
    sample = lambda picture, beyond: cv2.warpAffine(
        picture.astype(np.uint8),
        to_mask,
        (size, size),
        flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
        borderValue=beyond,
    )
    known = np.ones_like(mask) if known is None else known
    inside, picture = sample(mask | ~known, 1), sample(known, 0)
    if not (inside & picture).any():
        return nothing, corner, cell, points, normals
    grid = corner + cell * np.stack(np.meshgrid(np.arange(size), np.arange(size)), axis=-1)
    outside = cell * cv2.distanceTransform(1 - inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) * of_hand(grid, joints)
    # The outline where it is that of the hand in the picture: not the picture's edge, not the arm.
    soft = size / 64  # cells
    blurred = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), soft)
    contours, _ = cv2.findContours(inside & picture, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cells = np.concatenate([contour[:, 0] for contour in contours]) if contours else np.zeros((0, 2), int)
    slope = -np.stack(
        [cv2.Sobel(blurred, cv2.CV_32F, *order)[cells[:, 1], cells[:, 0]] for order in ((1, 0), (0, 1))], 1
    )
    steep = np.linalg.norm(slope, axis=1)
    near = np.ones((2 * round(soft) + 1,) * 2, np.uint8)
    within = cv2.erode(picture, near, borderValue=0)[cells[:, 1], cells[:, 0]] > 0
    found = corner + cell * cells
    kept = np.flatnonzero(within & (steep > 1e-3) & of_hand(found, joints))
    if len(kept):
        kept = kept[np.linspace(0, len(kept) - 1, min(POINTS, len(kept))).astype(int)]
        count = len(kept)
        points[:count], normals[:count] = found[kept], slope[kept] / steep[kept, np.newaxis]
    return outside.astype(np.float32), corner, cell, points, normals


def of_hand(points, joints):
    """Whether points [..., 2] lie on the fingers' side of the wrist."""
    towards = joints[_ROOTS].mean(axis=0) - joints[0]
    return (points - joints[0]) @ towards > 0


class OutlineResiduals:
    """Residuals of posed hands against masks, in units of `deviation` times the hand's box.

    Args:
      skin: the surface of the hand model.
      deviation: expected distance, as a share of the longer side of the hand's box.
    """

    def __init__(self, skin: Skin, deviation: float):
        self._skin, self._deviation = skin, deviation

    def __call__(
        self, known: Outlines, camera: np.ndarray, box: np.ndarray, posed: Posed
    ) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
        """Residuals [N, M], and a function from the derivatives of the joints (`Chain.derivatives`) to theirs, [N, M, 61].

        Args:
          known: masks of N hands.
          camera: K [N, 3, 3].
          box: [N], longer side of the hands' boxes in pixels.
          posed: N right hands.
        """
        surface = self._skin.surface(posed)
        mesh = surface.vertices.astype(float)
        flat = mesh[..., :2] / np.maximum(mesh[..., 2:], MIN_DEPTH)
        pixels = flat * camera[:, np.newaxis, [0, 1], [0, 1]] + camera[:, np.newaxis, :2, 2]
        tested = np.linspace(0, mesh.shape[1] - 1, TESTED).astype(int)
        far, slope = _sampled(known, pixels[:, tested])
        nearest = _nearest(known, pixels)
        gap = ((known.points - np.take_along_axis(pixels, nearest[..., np.newaxis], axis=1)) * known.normals).sum(
            axis=-1
        )
        short = np.maximum(gap, 0)
        chosen = np.concatenate([np.broadcast_to(tested, (len(mesh), TESTED)), nearest], axis=1)
        along = np.concatenate([slope, -known.normals * (short > 0)[..., np.newaxis]], axis=1)
        scale = 1 / (self._deviation * box[:, np.newaxis])
        moves = lambda of_joints: self._moves(surface, of_joints, flat, chosen, along * scale[..., np.newaxis], camera)
        return np.concatenate([far, short], axis=1) * scale, moves

    def _moves(self, surface, of_joints, flat, chosen, along, camera):
        """Derivatives [N, K, 61] of projected vertices along directions [N, K, 2] of the picture."""
        # Most vertices lie within the mask: they have no direction, and their derivatives are 0.
        some = along.any(axis=-1)
        kept = np.argsort(~some, axis=1, kind="stable")[:, : some.sum(axis=1).max()]
        pick = lambda values, rows: np.take_along_axis(values, rows[..., np.newaxis], axis=1)
        rows, along = np.take_along_axis(chosen, kept, axis=1), pick(along, kept)
        depth = np.maximum(pick(surface.vertices, rows)[..., 2:], MIN_DEPTH)
        focal = along * camera[:, np.newaxis, [0, 1], [0, 1]] / depth
        across = np.concatenate([focal, -(focal * pick(flat, rows)).sum(axis=-1, keepdims=True)], axis=-1)
        moves = np.zeros((*chosen.shape, NUM_PARAMETERS))
        np.put_along_axis(
            moves, kept[..., np.newaxis], self._skin.derivatives(surface, of_joints, rows, across), axis=1
        )
        return moves


def _sampled(known, pixels):
    """Distance from the mask [N, K] at pixels [N, K, 2], and its slope [N, K, 2]; 0 beyond the sampled square."""
    place = (pixels - known.corner[:, np.newaxis]) / known.cell[:, np.newaxis, np.newaxis]
    last = known.outside.shape[-1] - 1
    within = ((place >= 0) & (place < last)).all(axis=-1)
    place = np.clip(np.nan_to_num(place), 0, last - 0.001)
    column, row = np.moveaxis(place.astype(int), -1, 0)
    right, down = np.moveaxis(place % 1, -1, 0)
    hand = np.arange(len(place))[:, np.newaxis]
    a, b, c, d = (known.outside[hand, row + y, column + x].astype(float) for y in (0, 1) for x in (0, 1))
    top, bottom = a + right * (b - a), c + right * (d - c)
    slope = np.stack([(b - a) * (1 - down) + (d - c) * down, bottom - top], axis=-1)
    return within * (top + down * (bottom - top)), within[..., np.newaxis] * slope / known.cell[
        :, np.newaxis, np.newaxis
    ]


def _nearest(known, pixels):
    """Index [N, P] of the pixel [N, K, 2] nearest to each point of the outline."""
    # In cells float32 is exact enough, at half the time.
    in_cells = lambda x: ((x - known.corner[:, np.newaxis]) / known.cell[:, np.newaxis, np.newaxis]).astype(np.float32)
    points, pixels = in_cells(known.points), in_cells(pixels)
    half = 0.5 * np.square(pixels).sum(axis=-1)
    return (half[:, np.newaxis] - points @ np.swapaxes(pixels, 1, 2)).argmin(axis=-1)
