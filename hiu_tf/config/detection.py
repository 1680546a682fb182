"""Settings of the hand detector: its network, its training pictures and its training (docs/detection.md)."""

from dataclasses import dataclass, field

from hiu_tf.config import rules
from hiu_tf.config.rules import obey, require
from hiu_tf.config.schema import TrainConfig
from hiu_tf.errors import ConfigError

_NETWORK_RULES = {"feature_channels": rules.number(4, 1024), "batch_norm_momentum": rules.number(0, 0.9999)}
_SCENE_RULES = {"most_hands": rules.number(1, 100)} | dict.fromkeys(
    ("composite", "alone_share", "pictures_share", "empty"), rules.number(0, rules.MOST)
)


@dataclass(frozen=True)
class DetectorConfig:
    """The network of the detector (models/detector.py).

    Attributes:
      image_size: side S of the square input that holds a whole picture; a multiple of 16.
      feature_channels: channels of the decoder.
      batch_norm_momentum: see `ModelConfig`.
    """

    image_size: int = 224
    feature_channels: int = 48
    batch_norm_momentum: float = 0.97

    def __post_init__(self):
        fits = 64 <= self.image_size <= 1024 and self.image_size % 16 == 0
        require(fits, "network.image_size", "a multiple of 16 from 64 to 1024", self.image_size)
        obey(self, _NETWORK_RULES, "network")


@dataclass(frozen=True)
class SceneConfig:
    """Training pictures of the detector (pipelines/scenes.py). Paths are relative to the data root.

    Attributes:
      cutouts: records of single hands -> how often each is drawn. The hands are pasted onto other backgrounds.
      alone: records whose pictures show only the labelled hand.
      pictures: folders with train.json and val.json that list all hands of whole pictures (COCO) -> how often each is drawn.
      backgrounds: records of pictures without hands.
      composite, alone_share, pictures_share, empty: relative frequency of each kind of scene.
      sizes: minimum and maximum of the longer side of a hand's box in a composed scene, relative to the square.
      most_hands: maximum number of hands in a composed scene; large hands leave room for fewer.
    """

    cutouts: dict[str, float]
    backgrounds: tuple[str, ...]
    alone: tuple[str, ...] = ()
    pictures: dict[str, float] = field(default_factory=dict)
    composite: float = 0.5
    alone_share: float = 0.2
    pictures_share: float = 0.2
    empty: float = 0.1
    sizes: tuple[float, ...] = (0.055, 0.8)
    most_hands: int = 6

    def __post_init__(self):
        obey(self, _SCENE_RULES, "scenes")
        require(self.composite > 0 and bool(self.cutouts), "scenes.composite", "above 0, with cutouts", self.composite)
        for name in ("cutouts", "pictures"):
            shares = getattr(self, name)
            fits = all(share >= 0 for share in shares.values()) and (not shares or sum(shares.values()) > 0)
            require(fits, f"scenes.{name}", "shares >= 0, one of them above 0", shares)
        taken = {"composed", "alone", "none"} & set(self.pictures)
        require(not taken, "scenes.pictures", "folders named otherwise: validation has sets of this name", taken)
        require(bool(self.backgrounds), "scenes.backgrounds", "at least one set", self.backgrounds)
        fits = len(self.sizes) == 2 and 0 < self.sizes[0] < self.sizes[1] <= 2
        require(fits, "scenes.sizes", "two rising numbers in (0, 2]", self.sizes)


#: Settings of hand networks that the training of a detector does not use.
_WITHOUT_EFFECT = (
    "epochs", "steps_per_execution", "accumulate", "recalibrate", "precision", "xla", "on_nan", "validate",
    "validate_every", "best", "shuffle", "mix", "input_service",
)  # fmt: skip


@dataclass(frozen=True)
class DetectorRecipe:
    """How to train a detector: scenes, network, weights of the losses by name (losses/detection.py), training."""

    scenes: SceneConfig
    network: DetectorConfig = field(default_factory=DetectorConfig)
    loss: dict[str, float] = field(default_factory=dict)
    train: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self):
        usual = TrainConfig()
        for name in _WITHOUT_EFFECT:
            if getattr(self.train, name) != getattr(usual, name):
                raise ConfigError(f"train.{name} has no effect on the training of a detector: leave it out")
