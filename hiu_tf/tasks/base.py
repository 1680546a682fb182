"""What a task is: one head of the network, with its labels, losses, predictions, metrics, pictures and exports.

Network, attention, targets, losses, metrics, export and pictures go through the tasks of the configuration; none of
them knows a task by name. A new head is one file with one `Task`, and its name in the recipe's `network.tasks`
(docs/architecture.md).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tf_keras as keras

from hiu_tf.config.schema import ConfigError
from hiu_tf.hand.model import HandModel
from hiu_tf.metrics.metric import Metric


class Maps(NamedTuple):
    """A head that predicts maps [B, S / stride, S / stride, channels] by a decoder; its features go to the attention."""

    channels: int
    stride: int


class Vector(NamedTuple):
    """A head that predicts numbers [B, size], of the pooled features that the regressor sees."""

    size: int


class HandParameters(NamedTuple):
    """The regressor of shape, pose, rotation and translation."""


class Loss(NamedTuple):
    """One loss.

    Attributes:
      error: (labels, predictions) -> [B] or [B, N].
      label_weight: labels -> the same shape; 0 where the sample has no such label.
      weight: of the loss in the sum of all, where a recipe does not say.
      between: tasks that it compares with each other, beside the one that it stands with.
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
    """weight: key of the label's weight; shape: of the weight beside the label, for broadcasting."""

    weight: str
    shape: tuple[int, ...]


class Output(NamedTuple):
    """One prediction that is exported: shape [B, ...] ("V" stands for the vertices of the hand), and what it is."""

    shape: tuple[int | str, ...]
    words: str


class Crop(NamedTuple):
    """What the encoding of labels depends on: the side S of crops, and the recipe's encoding of POF."""

    size: int
    pof_encoding: str = "paper"


@dataclass(frozen=True)
class Task:
    """One head of the network, and everything that is particular to it.

    Attributes:
      name: of the task, and of its head's layers; lower-case letters.
      head: what the network builds.
      raw: keys of the head's outputs.
      encode: (batch of crops as the pipeline has them, Crop) -> labels and their weights (conventions/keys.py).
      labels: label -> its weight. What a label of weight 0 holds reaches no loss.
      losses: name -> loss. Names are those of the recipe's `loss`.
      read: (the network's raw outputs of one stack, hand, S) -> predictions, under the keys of `outputs`.
      outputs: key -> what is exported under it.
      needs: keys of the record that `encode` wants beside those that every task is given.
      streaming: S -> Keras metrics, for validation during training.
      metrics: of the tables that evaluation writes.
      draw: (picture [H, W, 3] uint8 RGB, predictions of one sample, hand) -> panel of the same kind, or None.
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
    """The weight that stands beside a label."""
    return lambda labels: labels[key]


def distance(a, b):
    """Euclidean distance over the last axis with a finite gradient at 0."""
    return tf.sqrt(tf.reduce_sum(tf.square(a - b), axis=-1) + 1e-12)
