"""Dense targets and label weights of a batch of crops."""

import tensorflow as tf

from hiu_tf.codecs import heatmap, pof
from hiu_tf.conventions import keys


def targets(batch: dict, size: int, pof_encoding: str = "paper") -> dict[str, tf.Tensor]:
    """Everything the losses compare with (keys.py): dense maps, joints, mask, and their weights.

    Args:
      batch: crops as `augment.crop` makes them, batched, weights already times the recipe's.
      size: S; heat maps and POF are S/2, the mask is S.
      pof_encoding: of codecs/pof.py.
    """
    joints_2d, joints_3d = batch[keys.JOINTS_2D], batch[keys.JOINTS_3D]
    flat, deep = batch[keys.JOINTS_2D_WEIGHT], batch[keys.JOINTS_3D_WEIGHT]
    # Xiang's encoding needs to know which bones have 2D labels alone; the paper's does not.
    only_flat = {keys.POF_ONLY_FLAT: pof.only_flat(flat, deep)} if pof_encoding == "xiang" else {}
    field = pof.encode(joints_2d, joints_3d, size, size // 2, pof_encoding, only_flat.get(keys.POF_ONLY_FLAT))
    may_be = (
        keys.SET_NUMBER, keys.SAMPLE_NAME,
        keys.VERTICES, keys.HAS_MESH, keys.SHAPE, keys.POSE, keys.ROTATION, keys.HAS_PARAMETERS,
    )  # fmt: skip
    # Where there is no hand, empty maps and an empty mask are the labels.
    empty = batch.get(keys.NO_HAND, tf.zeros_like(batch[keys.MASK_WEIGHT]))
    maps = heatmap.encode(joints_2d, size, size // 2) * (1 - empty[:, tf.newaxis, tf.newaxis, tf.newaxis])
    passed_on = {key: batch[key] for key in may_be if key in batch}
    return (
        only_flat
        | passed_on
        | {
            keys.HEATMAPS: maps,
            keys.HEATMAPS_WEIGHT: tf.maximum(flat, empty[:, tf.newaxis]),
            keys.POF: field,
            keys.POF_WEIGHT: pof.weights(flat, deep),
            keys.MASK: batch[keys.MASK],
            keys.MASK_WEIGHT: tf.maximum(batch[keys.MASK_WEIGHT], empty),
            keys.JOINTS_2D: joints_2d,
            keys.JOINTS_2D_WEIGHT: flat,
            keys.JOINTS_3D: joints_3d,
            keys.JOINTS_3D_WEIGHT: deep,
            keys.SSL_WEIGHT: batch[keys.SSL_WEIGHT],
        }
    )
