"""Loads a hand model by name: our own, or any .npz."""

from hiu_tf.hand.model import HandModel, load_hand_model, mirror_hand
from hiu_tf.hand.procedural import procedural_hand


def load_hand(name: str = "procedural") -> HandModel:
    """Loads a right hand: "procedural" or the path of an .npz. A left hand is mirrored.

    Raises:
      HandModelError: the file is not a valid hand model.
    """
    if name == "procedural":
        return procedural_hand()
    model = load_hand_model(name)
    return mirror_hand(model) if model.side == "left" else model
