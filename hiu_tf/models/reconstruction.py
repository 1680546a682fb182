"""From the network's outputs to hands: posed mesh, 3D joints, their projection, and Equation 1."""

import tensorflow as tf

from hiu_tf.codecs import heatmap
from hiu_tf.conventions import keys
from hiu_tf.geometry.camera import virtual_intrinsics
from hiu_tf.geometry.tensor.camera import project
from hiu_tf.hand.layer import pose_hand
from hiu_tf.hand.model import HandModel


def reconstruct(outputs: dict[str, tf.Tensor], hand: HandModel, image_size: int) -> dict[str, tf.Tensor]:
    """Adds what follows from one stack's outputs.

    Returns:
      vertices [B, V, 3] and joints_3d [B, 21, 3] in the crop's virtual camera (metres),
      joints_2d [B, 21, 2] from the heat maps, joints_2d_projected [B, 21, 2] from the mesh (pixels
      of the crop), joint_scores [B, 21].
    """
    parameters = (outputs[k] for k in (keys.SHAPE, keys.POSE, keys.ROTATION, keys.TRANSLATION))
    posed = pose_hand(hand, *parameters)
    heatmaps = tf.cast(outputs[keys.HEATMAPS], tf.float32)
    return posed | {
        keys.JOINTS_2D: heatmap.decode(heatmaps, image_size),
        keys.JOINTS_2D_PROJECTED: project(posed[keys.JOINTS_3D], virtual_intrinsics(image_size)),
        keys.SCORES: heatmap.scores(heatmaps),
    }
