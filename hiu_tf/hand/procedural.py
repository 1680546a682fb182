"""Our own right hand, and how a hand model is found by name.

Ours needs no licence form and no download: tools/build_hand.py builds it, the package ships it as one .npz.
"""

from functools import lru_cache
from pathlib import Path

from hiu_tf.hand.model import HandModel, load_hand_model, mirror_hand

PROCEDURAL_HAND = Path(__file__).with_name("procedural_right.npz")


@lru_cache(maxsize=1)
def procedural_hand() -> HandModel:
    """The embedded default hand model."""
    return load_hand_model(PROCEDURAL_HAND)


def hand_model(name: str) -> HandModel:
    """The right hand that is meant by "procedural" or by the path of an .npz; a left one is mirrored.

    Raises:
      HandModelError: the file cannot be used.
    """
    if name == "procedural":
        return procedural_hand()
    model = load_hand_model(name)
    return mirror_hand(model) if model.side == "left" else model
