"""What the regressor reads at the joints that the heat maps see."""

import math

import tensorflow as tf
import tf_keras as keras
from tf_keras import layers

from hiu_tf.codecs import heatmap

#: Start of the names of the layers that only a regressor with this extra input has.
JOINT_ATTENTION = "regressor_joint_attention"
_WIDTH, _HEADS, _BLOCKS = 64, 4, 2  # of the attention between joints
_TOLD = 16  # numbers that the attention tells of each joint: the layer that mixes all joints' numbers is the largest
#: Mass of a squared heat map, as a share of its pixels, at which its features count half: that of a peak of 0.16.
_SLIGHT_MASS = 1 / 6400
_SLIGHT_VARIANCE = 1e-2


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


@keras.saving.register_keras_serializable("hiu_tf")
class Standardise(layers.Layer):
    """[..., C] -> the same with mean 0 and variance 1 over the channels (0 where they hardly vary), without weights."""

    def __init__(self, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})

    def call(self, x):
        """Computes in float32."""
        x = tf.cast(x, tf.float32)
        x -= tf.reduce_mean(x, axis=-1, keepdims=True)
        return x * tf.math.rsqrt(tf.reduce_mean(tf.square(x), axis=-1, keepdims=True) + _SLIGHT_VARIANCE)


@keras.saving.register_keras_serializable("hiu_tf")
class Attend(layers.Layer):
    """Scaled dot-product attention between J tokens: [B, J, 1, 3 C] (queries, keys, values) -> [B, J, 1, C].

    Args:
      heads: number of parts of C that attend on their own.
    """

    def __init__(self, heads: int, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.heads = heads

    def call(self, x):
        """Each token reads the values of all, weighted by the softmax of query and keys."""
        tokens, channels = x.shape[1], x.shape[-1] // 3
        split = tf.reshape(tf.cast(x, tf.float32), [-1, tokens, 3 * self.heads, channels // self.heads])
        queries, keys, values = tf.split(tf.transpose(split, [0, 2, 1, 3]), 3, axis=1)  # each [B, heads, J, C / heads]
        weights = tf.nn.softmax(tf.matmul(queries, keys, transpose_b=True) / math.sqrt(channels // self.heads))
        return tf.reshape(tf.transpose(tf.matmul(weights, values), [0, 2, 1, 3]), [-1, tokens, 1, channels])

    def get_config(self):
        """For saving."""
        return super().get_config() | {"heads": self.heads}


@keras.saving.register_keras_serializable("hiu_tf")
class JointEmbedding(layers.Layer):
    """Adds a learned vector to each of J tokens [B, J, 1, C], so that they differ by more than what they read."""

    def build(self, shape):
        """One vector for each joint."""
        self.table = self.add_weight("table", shape[1:], initializer=keras.initializers.RandomNormal(stddev=0.02))

    def call(self, x):
        """The sum."""
        return x + self.table


def tokens_at_joints(features: list, heatmaps, name: str):
    """Several features [B, h, h, C] and the heat maps [B, H, H, J] -> what is known of each joint, [B, J, 1, sum of C + 3]."""
    read = []
    for k, x in enumerate(features, start=1):
        read.append(
            Standardise(name=f"{name}_standard{k}")(FeaturesAtJoints(name=f"{name}_features{k}")([x, heatmaps]))
        )
    places = ReadJoints(name=f"{name}_joints")(heatmaps)
    read.append(layers.Reshape((heatmaps.shape[-1], 1, 3), name=f"{name}_places")(places))
    return layers.Concatenate(name=name)(read)


def attended(tokens, channels: int):
    """What is read at the joints [B, J, 1, C] -> [B, 1, 1, channels]; joints tell each other what they see.

    Two blocks of a transformer: self-attention between the joints, then two layers for each joint. The result is 0 at
    first, so that a network that was trained without it can go on with it.
    """
    layer = lambda size, name, **settings: layers.Conv2D(size, 1, name=f"{JOINT_ATTENTION}_{name}", **settings)
    x = layer(_WIDTH, "enter")(tokens)
    x = JointEmbedding(name=f"{JOINT_ATTENTION}_embedding")(x)
    for k in range(1, _BLOCKS + 1):
        y = Standardise(name=f"{JOINT_ATTENTION}{k}_seen")(x)
        y = Attend(_HEADS, name=f"{JOINT_ATTENTION}{k}")(layer(3 * _WIDTH, f"block{k}_qkv")(y))
        x = layers.Add(name=f"{JOINT_ATTENTION}{k}_told")([x, layer(_WIDTH, f"block{k}_out")(y)])
        y = layer(2 * _WIDTH, f"block{k}_wide", activation="relu")(Standardise(name=f"{JOINT_ATTENTION}{k}_own")(x))
        x = layers.Add(name=f"{JOINT_ATTENTION}{k}_added")([x, layer(_WIDTH, f"block{k}_narrow")(y)])
    x = layer(_TOLD, "summary")(Standardise(name=f"{JOINT_ATTENTION}_output")(x))
    # The contributions of the joints are averaged: their sum would change by too much in each step. They are not
    # normalised: over a batch of a few vectors, batch norm hides outliers that it does not hide in prediction.
    joints = x.shape[1]
    x = layers.Rescaling(1.0 / (joints * _TOLD**0.5), name=f"{JOINT_ATTENTION}_share")(x)
    x = layers.Reshape((1, 1, joints * _TOLD), name=f"{JOINT_ATTENTION}_all")(x)
    return layer(channels, "mix", kernel_initializer="zeros")(x)
