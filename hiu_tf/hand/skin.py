"""Paints the default skin of the procedural hand: creases, knuckles, nails, palm and back.

Every pixel of the atlas is a point of the hand at rest, and its colour is a function of that point and the skin's
direction there. So nothing breaks at seams, and the same mesh gives the same picture. Millimetres, hand frame, sRGB
in [0, 1]. Used by tools/build_hand.py alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from hiu_tf.conventions.skeleton import FINGERS
from hiu_tf.geometry.mesh import vertex_normals
from hiu_tf.hand import anatomy
from hiu_tf.hand.atlas import Atlas
from hiu_tf.hand.model import HandModel
from hiu_tf.hand.unwrap import finger_frame, nearest_finger

SIZE = 512
#: The picture is painted larger and shrunk, so that thin lines have soft edges.
_OVERSAMPLE = 2
#: How far colours continue outside the islands, in painted pixels.
_MARGIN = 12
_PALM, _BACK = np.array([0.91, 0.71, 0.60]), np.array([0.83, 0.62, 0.50])
#: What a full crease, redness and a vein take away from the colour.
_CREASE, _RED, _VEIN = np.array([0.20, 0.22, 0.20]), np.array([0.02, 0.10, 0.09]), np.array([0.045, 0.015, 0.0])
_NAIL, _LUNULA, _EDGE = np.array([0.90, 0.72, 0.66]), np.array([0.94, 0.84, 0.80]), np.array([0.95, 0.90, 0.85])
#: Lines of the palm through points (x, z): heart, head, life.
_PALM_LINES = (
    ((-64, -48), (-68, -33), (-74, -14), (-81, 3), (-91, 13)),
    ((-73, 37), (-68, 22), (-59, 2), (-49, -18), (-42, -36)),
    ((-73, 37), (-66, 23), (-53, 11), (-36, 4), (-19, 5), (-8, 11)),
)
#: Creases of the palm's side across a finger, mm from its joints: (joint, distance, half width, strength).
_FINGER_CREASES = ((0, 21, 0.7, 0.8), (0, 24, 0.5, 0.4), (1, -1, 0.7, 0.9), (1, 2, 0.5, 0.5), (2, 0, 0.7, 0.8))
_THUMB_CREASES = ((1, 2, 0.7, 0.8), (1, 5, 0.5, 0.4), (2, 0, 0.8, 0.9))
#: Wrinkles of the back's side.
_WRINKLES = tuple((1, at, 0.55, 0.5) for at in (-5.2, -2.8, -0.4, 2, 4.4)) + ((2, -1.6, 0.5, 0.45), (2, 1.2, 0.5, 0.45))
_VEINS = (((-4, -4), (-30, -9), (-62, -12), (-76, -10)), ((-14, -16), (-40, -24), (-66, -29)), ((-12, 8), (-44, 13), (-74, 12)))  # fmt: skip


@dataclass
class _Points:
    """N painted points: `at` [N, 3], unit `normals` [N, 3], `back` [N] (0 palm .. 1 back), `finger` [N] in FINGERS."""

    at: np.ndarray
    normals: np.ndarray
    back: np.ndarray
    finger: np.ndarray


def paint_skin(hand: HandModel, atlas: Atlas) -> np.ndarray:
    """Paints the skin of a right procedural hand: [SIZE, SIZE, 3] uint8 RGB."""
    size = SIZE * _OVERSAMPLE
    where, at, normals = _surface(hand, atlas, size)
    points = _Points(1000 * at, normals, _back(1000 * at, normals), nearest_finger(at))
    picture = np.zeros((size, size, 3), np.float32)
    picture[where] = _colours(points)
    picture = _spread(picture, where)
    return np.round(255 * cv2.resize(picture, (SIZE, SIZE), interpolation=cv2.INTER_AREA)).astype(np.uint8)


def _surface(hand, atlas, size):
    """The painted pixels [S, S] bool, and position [N, 3] (metres) and unit normal [N, 3] of the hand at each."""
    values = np.concatenate([hand.vertices, vertex_normals(hand.vertices, hand.faces)], axis=1)[atlas.source]
    where, found = np.zeros((size, size), bool), np.zeros((size, size, 6))
    for face in atlas.faces:
        corners = atlas.uv[face] * size - 0.5
        low, high = np.ceil(corners.min(axis=0)).astype(int), np.floor(corners.max(axis=0)).astype(int)
        x, y = np.meshgrid(np.arange(low[0], high[0] + 1), np.arange(low[1], high[1] + 1))
        matrix = np.linalg.inv(np.concatenate([corners.T, np.ones((1, 3))]))
        shares = np.stack([x, y, np.ones_like(x)], axis=-1) @ matrix.T
        inside = (shares >= -1e-9).all(axis=-1)
        where[y[inside], x[inside]] = True
        found[y[inside], x[inside]] = shares[inside] @ values[face]
    normals = found[where][:, 3:]
    return where, found[where][:, :3], normals / np.linalg.norm(normals, axis=1, keepdims=True)


def _spread(picture, where):
    """Continues the islands' colours around them, so that interpolation at seams meets skin, and fills the rest."""
    far, labels = cv2.distanceTransformWithLabels(
        (~where).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    colour = np.zeros((labels.max() + 1, 3), np.float32)
    colour[labels[where]] = picture[where]
    return np.where((far < _MARGIN)[..., np.newaxis], colour[labels], 0.5 * (_PALM + _BACK)).astype(np.float32)


def _back(at, normals):
    """0 where the skin looks to the palm's side, 1 to the back; a thumb has its own palm's side."""
    facing = normals[:, 1]
    start, axis, dorsal = finger_frame("thumb")
    thumb = _step((at / 1000 - start) @ axis, -0.012, 0.006) * (nearest_finger(at / 1000) == FINGERS.index("thumb"))
    facing = (1 - thumb) * facing + thumb * (normals @ dorsal)
    return _step(facing, -0.55, 0.55)


def _colours(points):
    back = points.back[:, np.newaxis]
    mottled = _noise(points.at, 9.0, 1)
    colours = (1 - back) * _PALM + back * _BACK + 0.012 * mottled[:, np.newaxis] * np.array([0.5, 1, 1])
    colours -= _redness(points)[:, np.newaxis] * _RED
    wave = 0.5 * _noise(points.at, 5.0, 2)
    colours -= _lines(points.at[:, [0, 2]], _VEINS, 2.4, 0 * wave)[:, np.newaxis] * back * _VEIN
    palm = _step(-points.normals[:, 1], 0.1, 0.6) * (points.at[:, 0] > -96)
    creases = palm * _lines(points.at[:, [0, 2]], _PALM_LINES, 0.75, wave)
    creases = np.maximum(creases, palm * 0.6 * _wrist_lines(points.at, wave))
    for number, name in enumerate(FINGERS):
        mine = points.finger == number
        creases[mine] = np.maximum(creases[mine], _finger_creases(points, mine, name, wave[mine]))
    colours -= creases[:, np.newaxis] * _CREASE
    for number, name in enumerate(FINGERS):
        mine = points.finger == number
        colours[mine] = _with_nail(colours[mine], points.at[mine], points.normals[mine], name)
    return np.clip(colours, 0, 1)


def _redness(points):
    """Knuckles, fingertips, and the balls of the thumb and of the little finger."""
    red = np.zeros(len(points.at))
    for name in FINGERS:
        chain = anatomy.finger_joints_mm(name)
        for joint, strength in zip(chain[1 if name == "thumb" else 0 : 3], (0.55, 0.75, 0.5)):
            red += strength * points.back * _near(points.at, joint, 13.0)
        red += (1 - 0.6 * points.back) * _near(points.at, chain[3], 12.0)
    palm = 1 - points.back
    for centre in ((-40, -14, 36), (-40, -12, -34), (-88, -12, 12), (-84, -12, -20)):
        red += 0.5 * palm * _near(points.at, np.array(centre), 18.0)
    return np.minimum(red, 1.3)


def _wrist_lines(at, wave):
    bend = at[:, 0] - 0.004 * at[:, 2] ** 2 + wave
    return np.maximum(_line(bend - 4, 0.7), 0.6 * _line(bend - 8, 0.6))


def _finger_creases(points, mine, name, wave):
    chain, (_, _, dorsal) = anatomy.finger_joints_mm(name), finger_frame(name)
    at, facing = points.at[mine], points.normals[mine] @ dorsal
    found = np.zeros(len(at))
    sides = ((_THUMB_CREASES if name == "thumb" else _FINGER_CREASES, _step(-facing, -0.25, 0.45)),
             (_WRINKLES if name != "thumb" else _WRINKLES[-2:], _step(facing, 0.2, 0.75)))  # fmt: skip
    for creases, visible in sides:
        for joint, distance, width, strength in creases:
            along = (chain[joint + 1] - chain[joint]) / np.linalg.norm(chain[joint + 1] - chain[joint])
            arch = 1.2 * np.sign(distance) * (1 - visible)  # wrinkles bend around the joint
            d = (at - chain[joint]) @ along - distance + arch + 0.6 * wave
            found = np.maximum(found, strength * visible * _line(d, width))
    return found


def _with_nail(colours, at, normals, name):
    chain, (_, _, dorsal) = anatomy.finger_joints_mm(name), finger_frame(name)
    radius = anatomy.FINGERS_MM[name].radii[3]
    along = (chain[3] - chain[2]) / np.linalg.norm(chain[3] - chain[2])
    dorsal = dorsal - along * (dorsal @ along)
    dorsal /= np.linalg.norm(dorsal)
    local = at - chain[3] + 0.42 * radius * along
    a = (local @ along) / (0.92 * radius)
    b = np.arctan2(local @ np.cross(along, dorsal), local @ dorsal) / 0.85
    inside = np.abs(a) ** 3 + np.abs(b) ** 3
    inside[normals @ dorsal < 0.05] = 9.0
    soft = 0.07
    nail = _step(-inside, -1 - soft, -1 + soft)
    rim = _line(inside - 1.12, 0.16) * 0.45
    half_moon = _step(-np.hypot(a + 1.05, 0.9 * b), -0.58, -0.46)
    edge = _step(a, 0.70, 0.80)
    plate = _NAIL + (half_moon * 0.8)[:, np.newaxis] * (_LUNULA - _NAIL)
    plate = plate + edge[:, np.newaxis] * (_EDGE - plate)
    colours = colours - rim[:, np.newaxis] * _CREASE
    return colours + nail[:, np.newaxis] * (plate - colours)


def _lines(at, curves, width, wave):
    """Strength [N] of smooth curves through given points; they fade out at both ends."""
    found = np.zeros(len(at))
    for curve in curves:
        dots = _smooth_curve(np.array(curve, float))
        nearest, best = np.zeros(len(at), int), np.full(len(at), np.inf)
        for number, dot in enumerate(dots):
            distance = np.sum((at - dot) ** 2, axis=1)
            closer = distance < best
            best[closer], nearest[closer] = distance[closer], number
        fade = np.minimum(1, 4 * np.minimum(nearest, len(dots) - 1 - nearest) / len(dots) + 0.25)
        found = np.maximum(found, fade * _line(np.sqrt(best) + np.maximum(wave, 0), width))
    return found


def _smooth_curve(points, count=240):
    """Catmull-Rom curve through points [K, 2]: [count, 2]."""
    padded = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    t = np.linspace(0, len(points) - 1, count)
    k = np.minimum(t.astype(int), len(points) - 2)
    p0, p1, p2, p3 = (padded[k + i] for i in range(4))
    t = (t - k)[:, np.newaxis]
    return 0.5 * (2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3)


def _noise(at, length, seed):
    """Smooth noise [N], about -1..1, with features of about this length: a sum of waves in random directions."""
    rng = np.random.default_rng(seed)
    waves, phases = rng.normal(size=(3, 20)) / length, rng.uniform(0, 2 * np.pi, 20)
    return np.sin(at @ waves + phases).sum(axis=1) / np.sqrt(20)


def _near(at, centre, size):
    return np.exp(-np.sum((at - centre) ** 2, axis=1) / size**2)


def _line(distance, width):
    return np.exp(-((distance / width) ** 2))


def _step(x, low, high):
    """Smooth step from 0 at `low` to 1 at `high`."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)
