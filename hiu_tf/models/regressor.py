"""Regressor head: shape, pose, rotation, translation of the hand (supplement 1.1).

One module is shared by all stacks (or each has its own). It predicts absolute values at every stack; predictions are
not fed back.
"""

import math

import numpy as np
import tensorflow as tf
import tf_keras as keras
from tf_keras import layers

from hiu_tf.config.schema import ModelConfig
from hiu_tf.conventions import keys
from hiu_tf.geometry.tensor.rotation import compose
from hiu_tf.models.blocks import convolution, residual_groups
from hiu_tf.models.joints import JOINT_ATTENTION, ReadJoints, attended

NUM_PARAMETERS = 10 + 45 + 3 + 3
#: The rotation for the raw output 0: fingers up, thumb side to the camera. Views of palm and back are then
#: 90 degrees away, and the singular angle of the axis-angle, 180 degrees, is the rare view from the little
#: finger's side.
REFERENCE_VIEW = np.array([math.pi / math.sqrt(2), math.pi / math.sqrt(2), 0.0], np.float32)
#: Position of the wrist for the raw output 0, and metres per unit of raw output.
REFERENCE_POSITION = np.array([0.0, 0.06, 0.65], np.float32)
POSITION_SCALE = np.array([0.1, 0.1, 0.2], np.float32)
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
        if k == 1 and "joint_attention" in inputs:
            told = attended(inputs["joint_attention"], channels)
            x = layers.Add(name=f"{JOINT_ATTENTION}_added")([x, told])
    raw = layers.Conv2D(
        NUM_PARAMETERS,
        1,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
        dtype="float32",
        name="regressor_raw",
    )(x)
    return keras.Model(list(inputs.values()), HandParameters(name="parameters")(raw), name=name)
