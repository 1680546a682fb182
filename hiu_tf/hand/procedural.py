"""Our own right hand.

It needs no licence form and no download: tools/build_hand.py builds it, and the package ships it as one .npz.
"""

from functools import lru_cache
from pathlib import Path

from hiu_tf.hand.model import HandModel, load_hand_model

PROCEDURAL_HAND = Path(__file__).with_name("procedural_right.npz")


@lru_cache(maxsize=1)
def procedural_hand() -> HandModel:
    """Loads the hand model that ships with the package."""
    return load_hand_model(PROCEDURAL_HAND)
