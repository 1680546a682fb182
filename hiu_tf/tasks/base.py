"""A task is one head of the network with its labels, losses, predictions, metrics, pictures and exports.

Network, attention, targets, losses, metrics, export and pictures iterate over the tasks of the configuration and do
not depend on particular tasks. A new head needs one file with one `Task`, and its name in the recipe's
`network.tasks` (docs/architecture.md).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tf_keras as keras

from hiu_tf.errors import ConfigError
from hiu_tf.hand.model import HandModel
from hiu_tf.metrics.metric import Metric


class Maps(NamedTuple):
    """A head with a decoder that predicts maps [B, S / stride, S / stride, channels]. Attention uses its features."""

    channels: int
    stride: int


class Vector(NamedTuple):
    """A head that predicts numbers [B, size] from the pooled features that the regressor also uses."""

    size: int


class HandParameters(NamedTuple):
    """The regressor of shape, pose, rotation and translation."""


class Loss(NamedTuple):
    """One loss.

    Attributes:
      error: (labels, predictions) -> [B] or [B, N].
      label_weight: labels -> the same shape; 0 for samples without the label.
      weight: default weight of the loss in the total, if the recipe gives none.
      between: other tasks whose predictions the loss uses.
      self_supervised: whether no label is needed (supplement 1.2).
      renders: whether it needs the silhouette of the mesh.
      of_mesh: whether it needs the meshes and parameters of records.
    """

    error: Callable[[dict, dict], tf.Tensor]
    label_weight: Callable[[dict], tf.Tensor]
    weight: float = 0.0
    between: tuple[str, ...] = ()
    self_supervised: bool = False
    renders: bool = False
    of_mesh: bool = False


class Label(NamedTuple):
    """One label.

    Attributes:
      weight: key of the label's weight.
      shape: shape of the weight that broadcasts with the label.
    """

    weight: str
    shape: tuple[int, ...]


class Output(NamedTuple):
    """One exported prediction: its shape without B ("V" is the number of vertices of the hand), and its description."""

    shape: tuple[int | str, ...]
    words: str


class Crop(NamedTuple):
    """Settings for the encoding of labels: the side S of crops, and the recipe's encoding of POF."""

    size: int
    pof_encoding: str = "paper"


@dataclass(frozen=True)
class Task:
    """One head of the network and everything specific to it.

    Attributes:
      name: name of the task and prefix of its layers; lower-case letters.
      head: kind of head that the network builds.
      raw: keys of the head's raw outputs.
      encode: (batch of crops from the pipeline, Crop) -> labels and their weights (conventions/keys.py).
      labels: key of a label -> its `Label`. Labels of weight 0 do not affect any loss.
      losses: name -> loss. The names are those in the recipe's `loss`.
      read: (raw outputs of one stack, hand, S) -> predictions, under the keys of `outputs`.
      outputs: key -> exported prediction.
      needs: keys of the record that `encode` needs besides those that every task gets.
      streaming: S -> Keras metrics, for validation during training.
      metrics: metrics of the tables of hiu evaluate.
      draw: (picture [H, W, 3] uint8 RGB, predictions of one sample, hand) -> panel of the same size, or None.
    """

    name: str
    head: Maps | Vector | HandParameters
    raw: tuple[str, ...]
    encode: Callable[[dict, Crop], dict[str, tf.Tensor]]
    read: Callable[[dict, HandModel, int], dict[str, tf.Tensor]]
    labels: Mapping[str, Label] = field(default_factory=dict)
    losses: Mapping[str, Loss] = field(default_factory=dict)
    outputs: Mapping[str, Output] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    streaming: Callable[[int], list[keras.metrics.Metric]] = field(default=lambda size: [])
    metrics: tuple[Metric, ...] = ()
    draw: Callable[[np.ndarray, dict, HandModel], np.ndarray] | None = None

    def __post_init__(self):
        if not re.fullmatch("[a-z]+", self.name):
            raise ConfigError(f"the name of a task must be of lower-case letters, got {self.name!r}")


def weight_of(key: str) -> Callable[[dict], tf.Tensor]:
    """Makes a function that returns the weight with this key from the labels."""
    return lambda labels: labels[key]


def distance(a, b):
    """Euclidean distance over the last axis, with a finite gradient at 0."""
    return tf.sqrt(tf.reduce_sum(tf.square(a - b), axis=-1) + 1e-12)
