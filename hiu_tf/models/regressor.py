"""Regressor head: shape, pose, rotation, translation of the hand (supplement 1.1).

One module is shared by all stacks (or each has its own). It predicts absolute values at every stack; predictions are
not fed back.
"""

import math

import numpy as np
import tensorflow as tf
import tf_keras as keras
from tf_keras import layers

from hiu_tf.codecs import heatmap
from hiu_tf.config.schema import ModelConfig
from hiu_tf.conventions import keys
from hiu_tf.geometry.tensor.rotation import compose
from hiu_tf.models.blocks import convolution, residual_groups

#: Start of the names of the layers that read the features at the joints.
JOINT_FEATURES = "regressor_joint_features"
_JOINT_CHANNELS = 32
NUM_PARAMETERS = 10 + 45 + 3 + 3
#: The rotation for the raw output 0: fingers up, thumb side to the camera. Views of palm and back are then
#: 90 degrees away, and the singular angle of the axis-angle, 180 degrees, is the rare view from the little
#: finger's side.
REFERENCE_VIEW = np.array([math.pi / math.sqrt(2), math.pi / math.sqrt(2), 0.0], np.float32)
#: Position of the wrist for the raw output 0, and metres per unit of raw output.
REFERENCE_POSITION = np.array([0.0, 0.06, 0.65], np.float32)
POSITION_SCALE = np.array([0.1, 0.1, 0.2], np.float32)
#: Mass of a squared heat map, as a share of its pixels, at which its features count half: that of a peak of 0.16.
_SLIGHT_MASS = 1 / 6400
_HALF_TURN = 0.5  # radians per unit of raw output for joint angles


@keras.saving.register_keras_serializable("hiu_tf")
class HandParameters(layers.Layer):
    """Raw regressor output [B, 1, 1, 61] -> shape, pose (radians), rotation (axis-angle), translation (metres)."""

    def __init__(self, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})

    def call(self, raw):
        """Returns the four as a dictionary."""
        raw = tf.reshape(tf.cast(raw, tf.float32), [-1, NUM_PARAMETERS])
        shape, pose, rotation, translation = tf.split(raw, [10, 45, 3, 3], axis=-1)
        return {
            keys.SHAPE: shape,
            keys.POSE: tf.reshape(_HALF_TURN * pose, [-1, 15, 3]),
            keys.ROTATION: compose(rotation, tf.constant(REFERENCE_VIEW)),
            keys.TRANSLATION: REFERENCE_POSITION + POSITION_SCALE * translation,
        }


@keras.saving.register_keras_serializable("hiu_tf")
class ReadJoints(layers.Layer):
    """Heat maps [B, H, H, 21] -> [B, 1, 1, 63]: x and y in [-1, 1] of the crop, and score; stops the gradient."""

    def __init__(self, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})

    def call(self, heatmaps):
        """Decodes each map by Equation 1."""
        heatmaps = tf.stop_gradient(tf.cast(heatmaps, tf.float32))
        middle = 0.5 * (heatmaps.shape[1] - 1)
        place = (heatmap.decode(heatmaps, heatmaps.shape[1]) - middle) / middle
        seen = heatmap.scores(heatmaps)[..., tf.newaxis]
        # The position of a joint with an empty map is unknown: it is set to 0, like its score.
        read = tf.concat([place * tf.minimum(seen / heatmap.READABLE, 1.0), seen], axis=-1)
        return tf.reshape(read, [-1, 1, 1, 3 * heatmaps.shape[-1]])


@keras.saving.register_keras_serializable("hiu_tf")
class FeaturesAtJoints(layers.Layer):
    """Features [B, h, h, C] and heat maps [B, H, H, J] -> the features at each joint [B, J, 1, C]; for the maps it stops the gradient.

    They are the mean of the features, weighted by the squared map, and shrunk towards 0 where its peak is slight.
    """

    def __init__(self, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})

    def call(self, inputs):
        """Shrinks the maps to the features' size, and averages."""
        features, heatmaps = (tf.cast(x, tf.float32) for x in inputs)
        size, channels, joints = features.shape[1], features.shape[-1], heatmaps.shape[-1]
        maps = tf.nn.avg_pool2d(
            tf.stop_gradient(heatmaps), heatmaps.shape[1] // size, heatmaps.shape[1] // size, "VALID"
        )
        weights = tf.reshape(tf.square(tf.nn.relu(maps)), [-1, size * size, joints])
        total = tf.matmul(weights, tf.reshape(features, [-1, size * size, channels]), transpose_a=True)
        mass = tf.reduce_sum(weights, axis=1)[..., tf.newaxis]
        return tf.reshape(total / (mass + size**2 * _SLIGHT_MASS), [-1, joints, 1, channels])


def build_regressor(input_shapes: dict[str, tuple], config: ModelConfig, name: str = "regressor") -> keras.Model:
    """Builds the head as a separate model, so that stacks can share it.

    Args:
      input_shapes: shapes of "features" [S/4, S/4, C] and of the inputs in config.regressor_extra.

    Returns:
      A model from a list of these inputs to the dictionary of hand parameters.
    """
    inputs = {key: keras.Input(shape, name=key) for key, shape in input_shapes.items()}
    x = residual_groups(
        inputs["features"], config.regressor_channels, config.regressor_repetitions, config, "regressor"
    )[-1]
    x = layers.GlobalAveragePooling2D(keepdims=True, name="regressor_pool")(x)
    extra = [x]
    if "encoder" in inputs:
        extra.append(layers.GlobalAveragePooling2D(keepdims=True, name="regressor_encoder_pool")(inputs["encoder"]))
    if "joints" in inputs:
        extra.append(ReadJoints(name="regressor_joints")(inputs["joints"]))
    x = layers.Concatenate(name="regressor_all")(extra) if len(extra) > 1 else x
    for k, channels in enumerate(config.regressor_hidden, start=1):
        x = convolution(x, channels, 1, config, f"regressor_hidden{k}")
        if k == 1 and "joint_features" in inputs:
            x = layers.Add(name="regressor_with_joint_features")(
                [x, _of_joints(inputs["joint_features"], channels, config)]
            )
    raw = layers.Conv2D(
        NUM_PARAMETERS,
        1,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
        dtype="float32",
        name="regressor_raw",
    )(x)
    return keras.Model(list(inputs.values()), HandParameters(name="parameters")(raw), name=name)


def _of_joints(features, channels, config):
    """Features at the joints [B, J, 1, C] -> [B, 1, 1, channels], 0 at first: a network without them can go on with them."""
    x = convolution(features, _JOINT_CHANNELS, 1, config, f"{JOINT_FEATURES}_reduce")
    # The contributions of the joints are averaged: their sum would change by too much in each step. They are not
    # normalised: over a batch of a few vectors, batch norm hides outliers that it does not hide in prediction.
    x = layers.Rescaling(1.0 / x.shape[1], name=f"{JOINT_FEATURES}_share")(x)
    x = layers.Reshape((1, 1, x.shape[1] * _JOINT_CHANNELS), name=f"{JOINT_FEATURES}_all")(x)
    return layers.Conv2D(channels, 1, kernel_initializer="zeros", name=f"{JOINT_FEATURES}_project")(x)
