"""From the network's raw outputs to predictions: each task decodes its own; the mesh's silhouette can be rendered."""

from collections.abc import Iterable

import tensorflow as tf

from hiu_tf.conventions import keys
from hiu_tf.geometry.camera import virtual_intrinsics
from hiu_tf.hand.model import HandModel
from hiu_tf.render.silhouette import silhouette
from hiu_tf.tasks import PAPER
from hiu_tf.tasks.base import Task


def reconstruct(
    outputs: dict[str, tf.Tensor],
    hand: HandModel,
    image_size: int,
    tasks: Iterable[Task] = PAPER,
    render: bool = False,
) -> dict[str, tf.Tensor]:
    """Converts one stack's raw outputs to float32 and decodes the tasks' predictions from them.

    Args:
      outputs: raw outputs of one stack of the network.
      hand: the hand model that the parameters pose.
      image_size: S.
      tasks: of the network.
      render: whether to render the mesh's silhouette too, keys.RENDERED_MASK [B, S, S].

    Returns:
      The raw outputs, and the predictions of each task under the keys of its `outputs`.
    """
    found = {name: tf.cast(value, tf.float32) for name, value in outputs.items()}
    for task in tasks:
        found |= task.read(found, hand, image_size)
    if render:
        camera = virtual_intrinsics(image_size)
        found[keys.RENDERED_MASK] = silhouette(found[keys.VERTICES], hand.closed_faces, camera, image_size)
    return found | {keys.CROP_SIDE: float(image_size)}
