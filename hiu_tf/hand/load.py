"""A hand model by its name: our own, or anybody's .npz."""

from hiu_tf.hand.model import HandModel, load_hand_model, mirror_hand
from hiu_tf.hand.procedural import procedural_hand


def load_hand(name: str = "procedural") -> HandModel:
    """The right hand that is meant by "procedural" or by the path of an .npz; a left one is mirrored.

    Raises:
      HandModelError: the file cannot be used.
    """
    if name == "procedural":
        return procedural_hand()
    model = load_hand_model(name)
    return mirror_hand(model) if model.side == "left" else model
