"""Input pipelines of the detector: scenes with their targets, in batches."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from hiu_tf.codecs.centres import STRIDE, encode
from hiu_tf.config.detection import DetectorRecipe
from pipelines.material import Material
from pipelines.scenes import scene

_MAPS = {
    "centre": (), "centre_weight": (), "box": (4,), "direction": (2,), "left": (), "box_weight": (),
    "direction_weight": (), "left_weight": (),
}  # fmt: skip


def scene_data(recipe: DetectorRecipe, material: Material, start: int = 0) -> tf.data.Dataset:
    """Endless batches (image [B, S, S, 3] float32 in [0, 1], targets of `codecs.centres.encode`).

    Args:
      recipe: settings of the scenes, size, batch, seed.
      material: output of `material.load_material`.
      start: number of the first batch, so that a resumed run continues with the same data.
    """
    size, batch = recipe.network.image_size, recipe.train.batch_size
    cells = size // STRIDE

    def make(number):
        picture, hands = scene(int(number), recipe.train.seed, material, recipe.scenes, size)
        maps = encode(hands, cells)
        return picture, *(maps[name].astype(np.float32) for name in _MAPS)

    @tf.autograph.experimental.do_not_convert
    def load(number):
        picture, *maps = tf.numpy_function(make, [number], [tf.uint8, *[tf.float32] * len(_MAPS)])
        picture = tf.cast(tf.ensure_shape(picture, [size, size, 3]), tf.float32) / 255.0
        shapes = [[cells, cells, *shape] for shape in _MAPS.values()]
        return picture, {name: tf.ensure_shape(*pair) for name, *pair in zip(_MAPS, maps, shapes)}

    numbers = tf.data.Dataset.range(start * batch, 2**40)
    return numbers.map(load, num_parallel_calls=1, deterministic=True).batch(batch, drop_remainder=True).prefetch(2)
