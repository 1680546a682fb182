"""Part orientation fields (POF): the 3D direction of each bone, along its line in the picture."""

import numpy as np
import tensorflow as tf

from hiu_tf.codecs import pof as codec
from hiu_tf.conventions import keys
from hiu_tf.conventions.skeleton import NUM_BONES
from hiu_tf.tasks.base import Label, Loss, Maps, Task, weight_of


def encode(batch, crop):
    """Labels: fields at S/2, in the recipe's encoding (codecs/pof.py)."""
    joints_2d, joints_3d = batch[keys.JOINTS_2D], batch[keys.JOINTS_3D]
    flat, deep = batch[keys.JOINTS_2D_WEIGHT], batch[keys.JOINTS_3D_WEIGHT]
    # Xiang's encoding needs to know which bones have 2D labels alone; the paper's does not.
    only_flat = {keys.POF_ONLY_FLAT: codec.only_flat(flat, deep)} if crop.pof_encoding == "xiang" else {}
    field = codec.encode(
        joints_2d, joints_3d, crop.size, crop.size // 2, crop.pof_encoding, only_flat.get(keys.POF_ONLY_FLAT)
    )
    return only_flat | {keys.POF: field, keys.POF_WEIGHT: codec.weights(flat, deep)}


def pof(gt, pred):
    """Mean squared difference of each channel's field, [B, 60]."""
    field = pred[keys.POF]
    if keys.POF_ONLY_FLAT in gt:
        field = codec.scale_flat(field, gt[keys.POF], gt[keys.POF_ONLY_FLAT])
    return tf.reduce_mean(tf.square(field - gt[keys.POF]), axis=[1, 2])


def draw_field(field: np.ndarray) -> np.ndarray:
    """Draws POF [H, W, 60] as colours: x, y, z of the longest bone vector of each pixel as red, green, blue."""
    vectors = field.reshape(*field.shape[:2], -1, 3)
    longest = np.abs(vectors).sum(axis=-1).argmax(axis=-1)
    vectors = np.take_along_axis(vectors, longest[..., None, None], axis=2)[:, :, 0]
    return (np.clip(0.5 + 0.5 * vectors, 0, 1) * 255).astype(np.uint8)


POF = Task(
    name="pof",
    head=Maps(3 * NUM_BONES, 2),
    raw=(keys.POF,),
    encode=encode,
    read=lambda outputs, hand, size: {},
    labels={keys.POF: Label(keys.POF_WEIGHT, (-1, 1, 1, 3 * NUM_BONES))},
    losses={"pof": Loss(pof, weight_of(keys.POF_WEIGHT), 100.0)},
    draw=lambda picture, found, hand: draw_field(found[keys.POF]),
)
