"""Draws backgrounds and occluders without external pictures. NumPy + OpenCV."""

import cv2
import numpy as np


def background(size: int, rng: np.random.Generator) -> np.ndarray:
    """Draws a random scene without a hand: [size, size, 3] float32 in [0, 1]."""
    picture = _clouds(size, rng) if rng.random() < 0.6 else _gradient(size, rng)
    for _ in range(rng.integers(0, 9)):
        _draw_shape(picture, rng, rng.uniform(0.03, 0.5) * size)
    if rng.random() < 0.5:
        picture = picture + rng.uniform(0.0, 0.12) * (_clouds(size, rng, finest=size // 2) - 0.5)
    sigma = rng.choice([0.0, 0.8, 2.0, 4.0])
    picture = cv2.GaussianBlur(picture, (0, 0), sigma) if sigma else picture
    return np.clip(picture, 0, 1).astype(np.float32)


def occluder(size: int, joints: np.ndarray, hand_pixels: float, rng: np.random.Generator):
    """Draws an object in front of the hand: (colour [size, size, 3], opacity [size, size] in [0, 1])."""
    cover = np.zeros((size, size), np.uint8)
    centre = joints[rng.integers(len(joints))] + rng.normal(0, 0.12 * hand_pixels, 2)
    axes = np.maximum(hand_pixels * rng.uniform(0.05, 0.22, 2), 3).astype(int)
    angle = float(rng.uniform(0, 180))
    if rng.random() < 0.5:
        cv2.ellipse(cover, _pixel(centre), tuple(map(int, axes)), angle, 0, 360, 255, -1, cv2.LINE_AA)
    else:
        corners = cv2.boxPoints((tuple(map(float, centre)), (axes[0] * 1.0, axes[1] * 5.0), angle))
        cv2.fillConvexPoly(cover, corners.astype(np.int32), 255, cv2.LINE_AA)
    return _clouds(size, rng), cover.astype(np.float32) / 255


def _clouds(size, rng, finest=32):
    picture = np.zeros((size, size, 3), np.float32) + _colour(rng)
    cells = int(rng.integers(2, 5))
    amplitude = rng.uniform(0.05, 0.35)
    while cells <= finest:
        grain = rng.normal(0, amplitude, (cells, cells, 1)) + rng.normal(0, 0.35 * amplitude, (cells, cells, 3))
        grain = grain.astype(np.float32)
        picture += cv2.resize(grain, (size, size), interpolation=cv2.INTER_CUBIC)
        cells, amplitude = cells * 2, amplitude * 0.6
    return np.clip(picture, 0, 1)


def _gradient(size, rng):
    ramp = np.linspace(0, 1, size, dtype=np.float32)
    ramp = ramp[:, None, None] if rng.random() < 0.5 else ramp[None, :, None]
    first, second = _colour(rng), _colour(rng)
    return np.ascontiguousarray(np.broadcast_to(first * (1 - ramp) + second * ramp, (size, size, 3)))


def _draw_shape(picture, rng, extent):
    size = len(picture)
    colour = tuple(map(float, _colour(rng)))
    if rng.random() < 0.25:  # skin-like distractor: a face or another arm is no hand
        colour = tuple(map(float, np.array([0.8, 0.6, 0.5]) * rng.uniform(0.4, 1.15)))
    centre = _pixel(rng.uniform(0, size, 2))
    kind = rng.integers(3)
    if kind == 0:
        axes = (int(extent), int(extent * rng.uniform(0.3, 1)))
        cv2.ellipse(picture, centre, axes, float(rng.uniform(0, 180)), 0, 360, colour, -1, cv2.LINE_AA)
    elif kind == 1:
        corners = cv2.boxPoints(
            (tuple(map(float, centre)), (extent, extent * rng.uniform(0.2, 2)), float(rng.uniform(0, 90)))
        )
        cv2.fillConvexPoly(picture, corners.astype(np.int32), colour, cv2.LINE_AA)
    else:
        cv2.line(picture, centre, _pixel(rng.uniform(0, size, 2)), colour, int(rng.integers(1, 12)), cv2.LINE_AA)


def _pixel(point):
    return int(point[0]), int(point[1])


def _colour(rng):
    """Draws a colour: mostly muted, as in rooms and streets; sometimes vivid."""
    grey = rng.uniform(0.05, 0.95)
    return np.clip(grey + rng.normal(0, 0.3 if rng.random() < 0.25 else 0.09, 3), 0, 1).astype(np.float32)
