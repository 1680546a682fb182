"""All settings of the project as frozen dataclasses. A recipe is a YAML file of these settings."""

from dataclasses import dataclass, field
from typing import Any

from hiu_tf.config import rules
from hiu_tf.config.rules import obey, require

#: What train.freeze calls the batch norm of all parts of a network.
BATCH_NORM = "batch_norm"

_NETWORK_RULES = {
    "image_size": rules.count(32),
    "stacks": rules.count(),
    "tasks": rules.names(),
    "stem_channels": rules.counts(2),
    "stem_kernel": rules.count(),
    "encoder": rules.one_of("hiu", "resnet50", "efficientnet_lite0"),
    "encoder_channels": rules.counts(4),
    "encoder_repetitions": rules.counts(4),
    "encoder_stages": rules.one_of(5, 7),
    "bottleneck_ratio": rules.number(0.001, 8),
    "convolution": rules.one_of("full", "separable"),
    "feature_channels": rules.count(),
    "decoder_convolutions": rules.count(0),
    "fusion": rules.one_of("attention", "mean", "concat", "none"),
    "cascade": rules.one_of("stem_and_fused", "fused", "stem_fused_and_maps"),
    "head_convolutions": rules.count(0),
    "predict_kernel": rules.count(),
    "head_stride": rules.one_of(2, 4),
    "regressor": rules.one_of("shared", "per_stack"),
    "regressor_channels": rules.counts(4),
    "regressor_repetitions": rules.counts(4),
    "regressor_hidden": rules.counts(),
    "regressor_extra": rules.some_of("encoder", "joints", "joint_attention"),
    "batch_norm_momentum": rules.number(0, 1),
    "batch_norm_synchronized": rules.switch(),
}


@dataclass(frozen=True)
class ModelConfig:
    """The network (supplement 1.1). The defaults are the published 4-stack network.

    Attributes:
      image_size: side S of the input; a multiple of 32, or of 16 for an encoder of 5 stages. Heat maps and POF come at S/2,
        masks at S.
      stacks: number of cascaded stacks.
      tasks: the heads: names of tasks in hiu_tf/tasks, or "package.module:NAME" for a task of your own.
      stem_channels, stem_kernel: channels and kernel size of the two stride-2 convolutions of the stem.
      encoder: "hiu" (groups of our own bottlenecks), "resnet50" (the body of keras.applications' ResNet-50) or
        "efficientnet_lite0" (whose first stages then replace the stem). The last two can start from ImageNet weights
        (train.encoder_weights).
      encoder_stages: number of stages of "efficientnet_lite0": 7, or 5 to leave out the coarsest resolution.
      encoder_channels, encoder_repetitions: for the four groups conv2_x..conv5_x of the encoder "hiu".
      bottleneck_ratio: channels in the middle of a block, relative to its output.
      convolution: kind of the 3x3 convolutions: "full" or "separable" (for phones).
      feature_channels: channels of hms_ft, mask_ft, pof_ft and tam_ft.
      decoder_convolutions: number of 3x3 convolutions of a decoder at each resolution.
      fusion: how the features of the three tasks are fused to tam_ft: "attention" (the paper), "mean" or "concat"
        (its ablations), or "none": tam_ft is made from the encoder's finest level instead.
      cascade: input of the next stack: the stem's features and tam_ft, tam_ft alone, or the predicted maps too.
      head_convolutions: number of 3x3 convolutions before each prediction.
      predict_kernel: kernel size of the convolution that predicts.
      head_stride: stride at which maps are predicted (S/4 or S/2) before they are up-sampled to their size.
      regressor: one head "shared" by all stacks, or one "per_stack".
      regressor_channels, regressor_repetitions, regressor_hidden: sizes of the regressor.
      regressor_extra: inputs of the regressor besides the paper's features: "encoder" (the coarsest level, pooled),
        "joints" (2D joints and scores decoded from the heat maps of the same stack, without gradient),
        "joint_attention" (a small transformer over the joints, each with the features at S/4 and S/16 where its heat
        map sees it, its position and its score).
      batch_norm_momentum: 0.9 suits short runs; 0.99 is Keras' default.
      batch_norm_synchronized: whether statistics are computed over all replicas instead of per replica.
    """

    image_size: int = 256
    stacks: int = 4
    tasks: tuple[str, ...] = ("heatmaps", "mask", "pof", "hand")
    stem_channels: tuple[int, ...] = (64, 128)
    stem_kernel: int = 7
    encoder: str = "hiu"
    encoder_channels: tuple[int, ...] = (256, 512, 1024, 2048)
    encoder_repetitions: tuple[int, ...] = (3, 4, 5, 6)
    encoder_stages: int = 7
    bottleneck_ratio: float = 0.25
    convolution: str = "full"
    feature_channels: int = 256
    decoder_convolutions: int = 2
    fusion: str = "attention"
    cascade: str = "stem_and_fused"
    head_convolutions: int = 2
    predict_kernel: int = 3
    head_stride: int = 4
    regressor: str = "shared"
    regressor_channels: tuple[int, ...] = (256, 512, 1024, 2048)
    regressor_repetitions: tuple[int, ...] = (3, 3, 3, 3)
    regressor_hidden: tuple[int, ...] = (512, 512, 512)
    regressor_extra: tuple[str, ...] = ()
    batch_norm_momentum: float = 0.9
    batch_norm_synchronized: bool = False

    def __post_init__(self):
        obey(self, _NETWORK_RULES, "network")
        coarsest = 16 if self.encoder == "efficientnet_lite0" and self.encoder_stages == 5 else 32
        fits = self.image_size % coarsest == 0
        require(fits, "network.image_size", f"a multiple of {coarsest}", self.image_size)
        hidden = bool(self.regressor_hidden) or "joint_attention" not in self.regressor_extra
        words = "not empty with regressor_extra joint_attention"
        require(hidden, "network.regressor_hidden", words, self.regressor_hidden)


#: What the settings of a data set must be.
_DATA_RULES = {"repeat": rules.number(0, 1000)} | dict.fromkeys(
    ("share", "joints_2d", "joints_3d", "mask", "ssl"), rules.number(0, rules.MOST)
)


@dataclass(frozen=True)
class DataConfig:
    """One data set in a mix: where it is, how often it is drawn, which of its labels count.

    A label's weight multiplies the weight of each sample's own label; 0 hides the label (the
    crosses of the supplement's Tables 1-3). `ssl` switches both self-supervised losses. `fold` draws from
    a fixed part of the samples only: [0, 0.05] is a twentieth of the set, and it shares no sample with
    [0.05, 1]. A mix may contain a set twice, with different folds and weights. `share` or `repeat` sets how
    often a set is drawn; train.mix selects which of the two is used.
    """

    path: str
    share: float = 1.0
    repeat: int = 1
    joints_2d: float = 1.0
    joints_3d: float = 1.0
    mask: float = 1.0
    ssl: float = 1.0
    fold: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self):
        obey(self, _DATA_RULES, "data")
        low, high = self.fold
        require(0 <= low < high <= 1, "data.fold", "two numbers, 0 <= low < high <= 1", self.fold)


_SHARE = rules.number(0, 1)
#: What the strengths of the augmentation must be.
_AUGMENT_RULES = {
    "rotation_deg": rules.number(0, 180),
    "any_rotation_probability": _SHARE,
    "translation": _SHARE,
    "brightness": _SHARE,
    "contrast": _SHARE,
    "saturation": _SHARE,
    "hue": rules.number(0, 0.5),
    "grey_probability": _SHARE,
    "blur_probability": _SHARE,
    "noise": _SHARE,
    "shuffle_probability": _SHARE,
    "cutout_probability": _SHARE,
    "background_probability": _SHARE,
    "neighbour_probability": _SHARE,
    "wrong_side_probability": rules.number(0, 0.9),
    "edge_probability": _SHARE,
}


@dataclass(frozen=True)
class AugmentConfig:
    """Strength of each augmentation; probabilities are per sample. Defaults: docs/paper.md.

    Hands are rotated by up to rotation_deg either way; a share of any_rotation_probability by any angle.
    Ranges are pairs (minimum, maximum): cutout_side, the side of the cut-out square relative to the crop's side,
    and blur_factor, the factor by which blurred pictures are shrunk before they are enlarged again. A share of
    background_probability of the hands with a mask gets another background: parts of the pictures in backgrounds (folders of
    records without hands below the data's root, as `hiu prepare no_hand` writes them), or, if there are none, random clouds. A share of
    neighbour_probability of them is seen in front of another hand of the batch. A share of
    wrong_side_probability of the hands is shown as the other side, to teach the task "side"; of their labels only side and mask count.
    A share of edge_probability is cut off by an edge of the picture, which hides a part of the hand: edge_share (a pair too) of its
    box's width or height. The hidden joints keep their labels; the hand takes no part in self-supervision.
    """

    crop_scale: tuple[float, float] = (1.5, 1.9)
    rotation_deg: float = 30.0
    any_rotation_probability: float = 0.0
    translation: float = 0.06
    brightness: float = 0.2
    contrast: float = 0.25
    saturation: float = 0.3
    hue: float = 0.05
    gamma: tuple[float, float] = (0.7, 1.3)
    grey_probability: float = 0.1
    blur_probability: float = 0.15
    noise: float = 0.02
    shuffle_probability: float = 0.05
    blur_factor: tuple[float, float] = (2.0, 2.0)
    cutout_probability: float = 0.3
    cutout_side: tuple[float, float] = (0.125, 0.125)
    background_probability: float = 0.5
    backgrounds: tuple[str, ...] = ()
    neighbour_probability: float = 0.0
    wrong_side_probability: float = 0.0
    edge_probability: float = 0.0
    edge_share: tuple[float, float] = (0.1, 0.5)

    def __post_init__(self):
        obey(self, _AUGMENT_RULES, "augment")
        for name in ("crop_scale", "gamma", "blur_factor", "cutout_side", "edge_share"):
            low, high = getattr(self, name)
            require(0 < low <= high < 100, f"augment.{name}", "two numbers, 0 < low <= high", (low, high))
        require(all(self.backgrounds), "augment.backgrounds", "names of folders", self.backgrounds)
        require(self.cutout_side[1] <= 1, "augment.cutout_side", "at most 1", self.cutout_side)
        require(self.edge_share[1] < 1, "augment.edge_share", "below 1", self.edge_share)


@dataclass(frozen=True)
class LossConfig:
    """Weights of the losses by name. A loss without a weight here has its task's default (hiu_tf/tasks, docs/paper.md).

    In a recipe the names are written beside the other two settings: `loss: {pof: 50, ssl_warmup_steps: 1000}`.

    Attributes:
      weights: name -> weight; 0 switches a loss off.
      ssl_warmup_steps: steps over which the weight of self-supervision grows from 0 to its full value.
      ssl_both_sides: whether the self-supervised losses send gradients to the dense branch too (as in the paper) or
        to the mesh alone.
    """

    weights: dict[str, float] = field(default_factory=dict)
    ssl_warmup_steps: int = 0
    ssl_both_sides: bool = True

    def __post_init__(self):
        obey(self, {"ssl_warmup_steps": rules.number(0, 1e9)}, "loss")


#: Settings of the training with a fixed list of choices.
TRAIN_CHOICES = {
    "mix": ("share", "epoch"),
    "optimizer": ("adamw", "sgdw"),
    "schedule": ("poly", "cosine"),
    "precision": ("float32", "mixed_float16", "mixed_bfloat16"),
    "on_nan": ("stop", "skip"),
    "best": ("joints_2d_auc", "projected_2d_auc", "mask_iou", "joints_3d_root", "joints_3d_aligned", "loss"),
}


_SIZE, _TIMES = rules.number(1, 65536), rules.number(1, 1e9)
#: What the settings of the training must be.
_TRAIN_RULES = {
    "steps": _TIMES,
    "steps_per_epoch": _TIMES,
    "steps_per_execution": _TIMES,
    "batch_size": _SIZE,
    "accumulate": _SIZE,
    "learning_rate": rules.number(1e-12, rules.MOST),
    "warmup_steps": rules.number(0, 1e9),
    "poly_power": rules.number(0, 100),
    "weight_decay": rules.number(0, 1),
    "clip_norm": rules.number(1e-12, rules.MOST),
    "ema": rules.number(0, 0.999999),
    "swa_every": rules.number(0, 1e9),
    "swa_from": rules.number(0, 1),
    "recalibrate": rules.number(0, 1e9),
    "validate_every": _TIMES,
    "seed": rules.number(0, 2**31 - 1),
    "shuffle": _TIMES,
} | {name: rules.one_of(*choices) for name, choices in TRAIN_CHOICES.items()}


@dataclass(frozen=True)
class TrainConfig:
    """How to train. Defaults: docs/paper.md.

    Attributes:
      steps, steps_per_epoch: length of the run and of an epoch. An epoch ends with a checkpoint, a line in the log,
        and validation where it is due.
      epochs: with mix "epoch": number of passes over the data, which replaces `steps`; 0: `steps` is used.
      batch_size: samples of one step, over all devices and workers.
      accumulate: number of parts in which a device computes its batch one after the other, to save memory. The
        gradient is that of the whole batch; batch norm sees each part alone.
      optimizer: "adamw" or "sgdw" (momentum 0.9); weight decay is decoupled and multiplied by the learning rate.
      schedule: of the learning rate: "poly", (1 - step / steps) ** poly_power, or "cosine"; both after
        warmup_steps of linear growth.
      ema: decay of an exponential moving average of the weights (share of the old average at each step); 0: none.
      swa_every: interval in steps at which the weights are added to a plain average (SWA), once the share swa_from
        of the steps is done; 0: none.
      recalibrate: number of batches on which batch norm statistics are recomputed for averaged weights.
      precision: of convolutions; float16 uses loss scaling.
      xla: whether to compile the network with XLA. Losses and masks are not: the rasteriser is no operation of XLA.
      freeze: parts of the network that are not trained: "stem", "encoder", "attention", "regressor", or a task's
        decoder by the task's name; "batch_norm": that of all parts keeps its statistics, scales and offsets, and normalises
        as in prediction (training/parts.py).
      on_nan: "stop" at a loss that is not finite, or "skip" the step; both write a report of the batch.
      start_from: folder of a finished run or of an exported SavedModel whose weights a new run starts with; "" for
        random weights.
      encoder_weights: initial weights of the encoder; "" for random ones. For network.encoder "resnet50": "imagenet"
        (Keras fetches the file once) or the path of its "notop" .h5. For "efficientnet_lite0": "imagenet", the path of
        its .pth, or the folder of a hand network (a run, or a SavedModel).
      validate: sets whose val split is measured every `validate_every` epochs. The weights with the best value of the
        metric `best` are kept beside the last ones.
      steps_per_execution: steps that run without returning to Python (log, Ctrl-C).
      mix: "share" draws from each set in proportion to its share, endlessly; "epoch" goes through every
        set `repeat` times, then starts again: true epochs, as in the paper.
      input_service: address of a tf.data service (hiu input-service); "" reads the data in this process.
    """

    steps: int = 1000
    epochs: int = 0
    steps_per_epoch: int = 100
    steps_per_execution: int = 1
    batch_size: int = 16
    accumulate: int = 1
    optimizer: str = "adamw"
    schedule: str = "poly"
    learning_rate: float = 1e-3
    warmup_steps: int = 0
    poly_power: float = 0.9
    weight_decay: float = 1e-5
    clip_norm: float = 10.0
    ema: float = 0.0
    swa_every: int = 0
    swa_from: float = 0.75
    recalibrate: int = 0
    precision: str = "float32"
    xla: bool = False
    freeze: tuple[str, ...] = ()
    on_nan: str = "stop"
    start_from: str = ""
    encoder_weights: str = ""
    validate: tuple[str, ...] = ()
    validate_every: int = 1
    best: str = "joints_2d_auc"
    seed: int = 2020
    shuffle: int = 1024
    mix: str = "share"
    input_service: str = ""

    def __post_init__(self):
        obey(self, _TRAIN_RULES, "train")
        require(
            self.epochs >= 0 and (not self.epochs or self.mix == "epoch"),
            "train.epochs",
            '0, or >= 1 with mix "epoch"',
            self.epochs,
        )
        require(not (self.ema and self.swa_every), "train.swa_every", "0 where train.ema averages", self.swa_every)
        mends = not (self.recalibrate and BATCH_NORM in self.freeze)
        require(mends, "train.recalibrate", "0 where train.freeze has batch_norm", self.recalibrate)
        require(
            self.batch_size % self.accumulate == 0,
            "train.accumulate",
            f"a divisor of the batch {self.batch_size}",
            self.accumulate,
        )


#: For each train.mix: the setting of a set that controls how often it is drawn.
DRAWN_BY = {"share": "share", "epoch": "repeat"}


@dataclass(frozen=True)
class Recipe:
    """A whole experiment: model preset, data mix, hand model, augmentation, losses, training.

    Attributes:
      data: name -> set. The recipe may choose any name; the set's path says where the records are.
      network: settings of the network (ModelConfig) that differ from the preset `model`.
      hand: "procedural" (our own) or the .npz of another hand model, as hiu convert-mano writes it.
      pof_encoding: "paper" or "xiang" (codecs/pof.py).
      stages: name -> overrides ("train.steps": 500). The stages are trained in order; each starts with the weights
        of the previous one. Empty: one stage, the recipe itself.
    """

    model: str
    data: dict[str, DataConfig]
    network: dict[str, Any] = field(default_factory=dict)
    hand: str = "procedural"
    pof_encoding: str = "paper"
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    stages: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self):
        require(self.pof_encoding in ("paper", "xiang"), "pof_encoding", "paper or xiang", self.pof_encoding)
        drawn = any(getattr(data, DRAWN_BY[self.train.mix]) > 0 for data in self.data.values())
        require(drawn, "data", f"at least one set with a {DRAWN_BY[self.train.mix]} above 0", list(self.data))
