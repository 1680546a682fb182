"""Losses of the detector. Each is a sum over the batch divided by the number of hands."""

from __future__ import annotations

import tensorflow as tf

from hiu_tf.codecs.centres import CENTRE, DIRECTION, LEFT, OFFSET, PRIOR_LOGIT, SIZE

#: Exponents of the penalty-reduced focal loss (Law and Deng 2018): they down-weight easy cells and cells near centres.
_FOCUS, _NEAR = 2.0, 4.0


def detection_losses(targets: dict, maps: tf.Tensor) -> dict[str, tf.Tensor]:
    """Computes the losses: {name: scalar}.

    Args:
      targets: targets of `centres.encode`, batched: [B, G, G, ...].
      maps: [B, G, G, 8], output of the network.
    """
    hands = tf.maximum(tf.reduce_sum(tf.cast(targets["centre"] == 1.0, tf.float32)), 1.0)
    size = tf.exp(targets["box"][..., 2:])
    scale = tf.sqrt(tf.reduce_prod(size, axis=-1, keepdims=True))
    place = tf.reduce_sum(tf.abs(maps[..., OFFSET] - targets["box"][..., :2]) / scale, axis=-1)
    sizes = tf.reduce_sum(tf.abs(maps[..., SIZE] - targets["box"][..., 2:]), axis=-1)
    pointing = tf.reduce_sum(tf.square(maps[..., DIRECTION] - targets["direction"]), axis=-1)
    side = tf.nn.sigmoid_cross_entropy_with_logits(targets["left"], maps[..., LEFT])
    return {
        "centre": tf.reduce_sum(targets["centre_weight"] * _focal(targets["centre"], maps[..., CENTRE])) / hands,
        "place": tf.reduce_sum(targets["box_weight"] * place) / hands,
        "size": tf.reduce_sum(targets["box_weight"] * sizes) / hands,
        "direction": tf.math.divide_no_nan(
            tf.reduce_sum(targets["direction_weight"] * pointing), tf.reduce_sum(targets["direction_weight"])
        ),
        "side": tf.math.divide_no_nan(
            tf.reduce_sum(targets["left_weight"] * side), tf.reduce_sum(targets["left_weight"])
        ),
    }


def _focal(wanted, logit):
    logit = logit + PRIOR_LOGIT
    yes, no = tf.math.log_sigmoid(logit), tf.math.log_sigmoid(-logit)  # log p, log (1 - p)
    hit = -tf.pow(tf.sigmoid(-logit), _FOCUS) * yes
    miss = -tf.pow(1.0 - wanted, _NEAR) * tf.pow(tf.sigmoid(logit), _FOCUS) * no
    return tf.where(wanted == 1.0, hit, miss)
