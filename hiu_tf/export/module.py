"""The exported computation: crop in, hand out; and encoded pictures in, hands out."""

import tensorflow as tf
import tf_keras as keras

from hiu_tf.conventions import keys
from hiu_tf.hand.model import HandModel
from hiu_tf.models.hiu import inference_network
from hiu_tf.models.reconstruction import reconstruct

#: Outputs of the signature "tensor", in the order of the card.
OUTPUTS = (
    keys.JOINTS_2D, keys.SCORES, keys.MASK, keys.JOINTS_3D, keys.VERTICES, keys.JOINTS_2D_PROJECTED,
    keys.SHAPE, keys.POSE, keys.ROTATION, keys.TRANSLATION,
)  # fmt: skip
#: Those of an encoded picture; its 2D joints are pixels of the picture that was sent.
PICTURE_OUTPUTS = (keys.JOINTS_2D, keys.SCORES, keys.JOINTS_3D)


class HIUModule(tf.Module):
    """The last stack of a network with its hand layer, ready to be saved.

    Args:
      network: from `build_hiu`.
      hand: the hand model.
    """

    def __init__(self, network: keras.Model, hand: HandModel):
        super().__init__(name="hiu")
        needed = inference_network(network)
        # Only the weights are tracked: a tracked Keras model is saved layer by layer, with a traced
        # function for each, which takes minutes and serves nobody.
        self.weights = needed.variables
        self._network = lambda image: needed(image, training=False)
        self.hand, self.size = hand, network.input_shape[1]

    def predict(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        """Crops [B, S, S, 3] float32 RGB in [0, 1] -> `OUTPUTS`; the mask is [B, S, S] in [0, 1]."""
        outputs = {name: tf.cast(value, tf.float32) for name, value in self._network(image).items()}
        outputs |= reconstruct(outputs, self.hand, self.size)
        outputs[keys.MASK] = tf.sigmoid(outputs[keys.MASK])[..., 0]
        # An identity gives each output a name of its own in the exported graph.
        return {name: tf.identity(outputs[name], name=name) for name in OUTPUTS}

    def predict_encoded(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Encoded JPEG or PNG pictures [B] of right hands, each a crop of one hand -> `PICTURE_OUTPUTS`."""
        square = tf.TensorSpec([self.size, self.size, 3], tf.float32)
        crops, sizes = tf.map_fn(
            self._decode, image_bytes, fn_output_signature=(square, tf.TensorSpec([2], tf.float32))
        )
        outputs = self.predict(crops)
        # The picture fills the square's longer side, centred.
        side = tf.reduce_max(sizes, axis=1)[:, tf.newaxis, tf.newaxis]
        pixels = (outputs[keys.JOINTS_2D] + 0.5) * side / self.size - 0.5
        pixels -= 0.5 * (side - sizes[:, tf.newaxis, ::-1])
        return outputs | {keys.JOINTS_2D: pixels, "image_size": sizes}

    def signatures(self) -> dict[str, object]:
        """Concrete functions by signature name."""

        def encoded(image_bytes):
            outputs = self.predict_encoded(image_bytes)
            return {name: outputs[name] for name in (*PICTURE_OUTPUTS, "image_size")}

        tensor = tf.TensorSpec([None, self.size, self.size, 3], tf.float32, name=keys.IMAGE)
        return {
            "serving_default": _function(encoded).get_concrete_function(
                tf.TensorSpec([None], tf.string, name="image_bytes")
            ),
            "tensor": _function(lambda image: self.predict(image)).get_concrete_function(tensor),
        }

    def _decode(self, encoded):
        picture = tf.io.decode_image(encoded, channels=3, expand_animations=False)
        height_width = tf.cast(tf.shape(picture)[:2], tf.float32)
        square = tf.image.resize_with_pad(tf.cast(picture, tf.float32) / 255.0, self.size, self.size)
        return square, height_width


def _function(python_function):
    return tf.function(python_function, autograph=False)
