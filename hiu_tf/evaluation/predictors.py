"""Predictors for evaluation: networks, exported models, and a baseline that ignores the picture."""

from collections.abc import Callable, Iterable

import numpy as np
import tensorflow as tf
import tf_keras as keras_library

from hiu_tf.conventions import keys
from hiu_tf.geometry.camera import virtual_intrinsics
from hiu_tf.geometry.mesh import close_holes
from hiu_tf.hand.model import HandModel
from hiu_tf.models.reconstruction import reconstruct
from hiu_tf.render.silhouette import silhouette
from hiu_tf.runtime.backend import load_network
from hiu_tf.tasks import PAPER
from hiu_tf.tasks.base import Task

#: crops [B, S, S, 3] -> the predictions that protocols compare, masks as [B, S, S] in [0, 1]
Predict = Callable[[np.ndarray], dict[str, np.ndarray]]


def network_predictor(
    network: keras_library.Model, hand: HandModel, stack: int = -1, tasks: tuple[Task, ...] = PAPER
) -> Predict:
    """Makes a predictor from one stack of a network, by default the last; `tasks` are the network's."""
    size = network.input_shape[1]
    compared = [key for task in tasks for key in task.outputs]
    render = keys.VERTICES in compared

    @tf.function(autograph=False, input_signature=[tf.TensorSpec([None, size, size, 3])])
    def graph(image):
        found = reconstruct(network(image, training=False)[stack], hand, size, tasks, render)
        return {name: found[name] for name in (*compared, *([keys.RENDERED_MASK] if render else []))}

    return lambda image: {name: value.numpy() for name, value in graph(tf.constant(image)).items()}


def exported_predictor(path: str, threads: int = 2) -> tuple[Predict, int]:
    """Loads an exported model (.tflite or .onnx file, or SavedModel folder). Returns the predictor and the side of its crops."""
    network, card, _ = load_network(path, threads)
    size, faces = card["image_size"], close_holes(np.array(card["faces"], np.int32))
    any_number = [tf.TensorSpec([None, card["vertices"], 3])]  # of hands: traced once
    render = tf.function(
        lambda v: silhouette(v, faces, virtual_intrinsics(size), size), autograph=False, input_signature=any_number
    )

    def predict(image):
        found = dict(network(image))
        return found | {keys.RENDERED_MASK: render(tf.constant(found[keys.VERTICES])).numpy()}

    return predict, size


def mean_predictor(batches: Iterable[dict]) -> Predict:
    """Makes a baseline that predicts the mean label of some training batches for every picture.

    It predicts zeros for entries without any label.
    """
    sums, counts = {}, {}
    weight_of = {
        keys.JOINTS_2D: keys.JOINTS_2D_WEIGHT, keys.JOINTS_3D: keys.JOINTS_3D_WEIGHT,
        keys.MASK: keys.MASK_WEIGHT, keys.VERTICES: keys.HAS_MESH,
    }  # fmt: skip
    for batch in batches:
        for name, weight_name in weight_of.items():
            value, weight = batch[name], batch[weight_name]
            value = value - batch[keys.JOINTS_3D][:, :1] if name in (keys.JOINTS_3D, keys.VERTICES) else value
            weight = weight.reshape(weight.shape + (1,) * (value.ndim - weight.ndim))
            if value.shape[1]:
                sums[name] = sums.get(name, 0.0) + (value * weight).sum(axis=0)
                counts[name] = counts.get(name, 0.0) + weight.sum(axis=0)
    means = {name: sums[name] / np.maximum(counts[name], 1e-9) for name in sums}
    means.setdefault(keys.VERTICES, np.zeros((0, 3)))
    means[keys.MASK] = means[keys.MASK][..., 0]
    means |= {keys.JOINTS_2D_PROJECTED: means[keys.JOINTS_2D], keys.RENDERED_MASK: means[keys.MASK]}
    return lambda image: {name: np.repeat(mean[np.newaxis], len(image), axis=0) for name, mean in means.items()}
