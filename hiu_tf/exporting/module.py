"""The exported computation: from crops, pictures or encoded pictures to hands, with one signature for each use."""

from __future__ import annotations

import tensorflow as tf
import tf_keras as keras

from hiu_tf.conventions import keys
from hiu_tf.errors import UserError
from hiu_tf.exporting.camera import to_camera
from hiu_tf.exporting.contract import added_outputs
from hiu_tf.exporting.crops import Windows, cut_encoded, cut_images, in_range, masks_as_png
from hiu_tf.exporting.evidence_fit import GraphFit
from hiu_tf.hand.model import HandModel
from hiu_tf.models.reconstruction import reconstruct
from hiu_tf.tasks import PAPER
from hiu_tf.tasks.base import Task

_DENSE = (keys.HEATMAPS, keys.MASK, keys.POF, keys.JOINTS_2D, keys.JOINTS_3D, keys.VERTICES)
_HANDS = (keys.JOINTS_2D, keys.SCORES, keys.JOINTS_3D)
_MESH = (*_HANDS, keys.VERTICES, keys.SHAPE, keys.POSE, keys.ROTATION, keys.TRANSLATION)
_LEFT = 1


class HIUModule(tf.Module):
    """The last stack of a network with its hand layer, ready to be saved.

    Args:
      network: from `build_hiu`.
      hand: the hand model.
      tasks: of the network.
      fits: whether the signature "located" fits the mesh to the joints of the heat maps (exporting/evidence_fit.py).

    Attributes:
      outputs: names of the outputs of `predict` and of the signature "tensor", in the order of the card.

    Raises:
      UserError: the network lacks a task whose predictions the signatures return.
    """

    def __init__(self, network: keras.Model, hand: HandModel, tasks: tuple[Task, ...] = PAPER, fits: bool = False):
        super().__init__(name="hiu")
        missing = [task.name for task in PAPER if task.name not in {t.name for t in tasks}]
        if missing:
            raise UserError(
                f"an exported model needs all of the paper's tasks: network.tasks lacks {', '.join(missing)}"
            )
        self.tasks, self.outputs = tasks, tuple(key for task in tasks for key in task.outputs)
        last = keras.Model(network.input, network.output[-1])
        # Tracks only the weights: a tracked Keras model is saved layer by layer, with a traced function
        # for each, which takes minutes and is never used.
        self.weights = last.variables
        self._network = lambda image: last(image, training=False)
        self.hand, self.size = hand, network.input_shape[1]
        self._fitted = GraphFit(hand, self.size) if fits else lambda outputs: outputs
        crops = _spec([None, self.size, self.size, 3], tf.float32, keys.IMAGE)
        # All signatures share one function, so that its constants (megabytes of the hand model) are saved once. It is
        # traced here: in each graph that called it first, it would be traced twice.
        self._shared = _concrete(self._never_empty, [crops])

    def predict(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        """Crops [B, S, S, 3] float32 RGB in [0, 1] -> `outputs`."""
        return _named(self._shared(image), self.outputs)

    def in_line(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        """As `predict`, but as one flat graph without the special case of an empty batch: fast on phones."""
        return _named(self._everything(image), self.outputs)

    def dense(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        """Crops as in `predict` -> heat maps, mask, POF, joints and mesh."""
        return _named(self._shared(image), _DENSE)

    def signatures(self) -> dict[str, object]:
        """Concrete functions by signature name, as in contract.json."""
        crop = _spec([None, None, None, 3], tf.float32, keys.IMAGE)
        encoded = _spec([None], tf.string, "image_bytes")
        located = [
            encoded, _spec([None, 4], tf.float32, keys.BOX), _spec([None], tf.int32, keys.SIDE),
            _spec([None, 3, 3], tf.float32, keys.INTRINSICS),
        ]  # fmt: skip
        pictures = _spec([None, None, None, 3], tf.uint8, "images")
        crop_bytes = _spec([None, None, None, 3], tf.uint8, keys.IMAGE)
        mesh = (*_MESH, *added_outputs(self.tasks))
        functions = {
            "serving_default": (lambda image_bytes: self._of_encoded(image_bytes, _HANDS), [encoded]),
            "mesh": (lambda image_bytes: self._of_encoded(image_bytes, mesh), [encoded]),
            "mask": (self._masks, [encoded]),
            "located": (self._located, located),
            "images_uint8": (lambda images: self._in_pictures(*cut_images(images, self.size), _HANDS), [pictures]),
            "tensor": (lambda image: self.predict(self._checked(image)), [crop]),
            "tensor_uint8": (
                lambda image: self.predict(tf.cast(self._checked(image), tf.float32) / 255.0),
                [crop_bytes],
            ),
            "dense": (lambda image: self.dense(self._checked(image)), [crop]),
        }
        return {name: _concrete(function, specs) for name, (function, specs) in functions.items()}

    def _never_empty(self, image):
        """Pads an empty batch with one blank crop and drops its results."""
        count = tf.shape(image)[0]
        image = tf.pad(image, [[0, tf.cast(count == 0, tf.int32)], [0, 0], [0, 0], [0, 0]])
        return {name: value[:count] for name, value in self._everything(image).items()}

    def _everything(self, image):
        found = reconstruct(self._network(in_range(image)), self.hand, self.size, self.tasks)
        return {name: found[name] for name in dict.fromkeys((*self.outputs, *_DENSE))}

    def _checked(self, image):
        numbers = "uint8" if image.dtype == tf.uint8 else "float32 in [0, 1]"
        message = f"image must be [batch, {self.size}, {self.size}, 3] {numbers}"
        with tf.control_dependencies([tf.debugging.assert_equal(tf.shape(image)[1:3], self.size, message)]):
            return tf.ensure_shape(tf.identity(image), [None, self.size, self.size, 3])

    def _whole(self, image_bytes):
        """Crops of whole pictures that each show one right hand, and their windows."""
        count = tf.shape(image_bytes)[0]
        return cut_encoded(image_bytes, tf.zeros([count, 4]), tf.zeros([count], tf.bool), self.size)

    def _of_encoded(self, image_bytes, names):
        return self._in_pictures(*self._whole(image_bytes), names)

    def _masks(self, image_bytes):
        crops, windows = self._whole(image_bytes)
        pngs = masks_as_png(self.predict(crops)[keys.MASK], windows, self.size)
        return {"mask_png_bytes": pngs} | _about(windows)

    def _located(self, image_bytes, box, side, intrinsics):
        crops, windows = cut_encoded(image_bytes, box, side == _LEFT, self.size)
        outputs = self._fitted(self.predict(crops))
        outputs |= to_camera(outputs, windows, intrinsics, self.size)
        return self._answer(outputs, windows, _MESH)

    def _in_pictures(self, crops, windows: Windows, names):
        return self._answer(self.predict(crops), windows, names)

    def _answer(self, outputs, windows, names):
        """Selects the named outputs and converts 2D joints to pixels of the input pictures."""
        outputs |= {keys.JOINTS_2D: windows.to_picture(outputs[keys.JOINTS_2D], self.size)}
        score = {"hand_score": tf.reduce_mean(outputs[keys.SCORES], axis=1)}
        return {name: outputs[name] for name in names} | score | _about(windows)


def _about(windows):
    return {"image_size": windows.sizes, "image_valid": windows.valid}


def _named(outputs, names):
    """Names each output in the exported graph by an identity operation."""
    return {name: tf.identity(outputs[name], name=name) for name in names}


def _spec(shape, dtype, name):
    return tf.TensorSpec(shape, dtype, name=name)


def _concrete(function, specs):
    return tf.function(function, autograph=False).get_concrete_function(*specs)
