"""The atlas of our own hand: texture coordinates of its skin, and the picture of a skin that they point into.

tools/build_hand.py makes both. A seam doubles vertices: an atlas point is a vertex of the mesh at one place of the
picture, and vertices on seams have several.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from hiu_tf.atomic import written_whole
from hiu_tf.hand.model import HandModel

ATLAS = Path(__file__).with_name("procedural_atlas.npz")
SKIN = Path(__file__).with_name("procedural_skin.png")
#: Texture coordinates are stored as whole numbers up to this one.
_STEPS = 65535


@dataclass(frozen=True)
class Atlas:
    """Texture coordinates with seams: W atlas points for the V vertices of a hand.

    Attributes:
      source: [W] int64 vertex of the mesh of each atlas point.
      uv: [W, 2] in [0, 1], (u right, v down) from the upper left corner of the picture, as in glTF.
      faces: [F, 3] int64 atlas points of the corners of each face of the mesh, in its order.
    """

    source: np.ndarray
    uv: np.ndarray
    faces: np.ndarray


@lru_cache(maxsize=1)
def procedural_atlas() -> Atlas:
    """Loads the atlas of our own right hand."""
    with np.load(ATLAS) as stored:
        source, uv, faces = (stored[name] for name in ("source", "uv", "faces"))
    return Atlas(source.astype(np.int64), uv / _STEPS, faces.astype(np.int64))


def save_atlas(path: Path, atlas: Atlas) -> None:
    """Writes an atlas of less than 65,536 points as a small .npz; coordinates are rounded to 1/65535."""
    uv = np.round(atlas.uv * _STEPS)
    with written_whole(path) as scratch, scratch.open("wb") as file:
        np.savez_compressed(
            file, source=atlas.source.astype(np.uint16), uv=uv.astype(np.uint16), faces=atlas.faces.astype(np.uint16)
        )


def atlas_of(hand: HandModel) -> Atlas | None:
    """The atlas of a hand with the mesh of our own, right or left; None for another mesh, such as MANO's."""
    atlas = procedural_atlas()
    for faces in (atlas.faces, atlas.faces[:, ::-1]):
        if np.array_equal(atlas.source[faces], hand.faces):
            return Atlas(atlas.source, atlas.uv, faces)
    return None


def skin_picture() -> bytes:
    """The PNG file of the default skin."""
    return SKIN.read_bytes()
