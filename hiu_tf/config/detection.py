"""Settings of the network that finds hands, of its pictures and of its training (docs/detection.md)."""

from dataclasses import dataclass, field

from hiu_tf.config.schema import TrainConfig, require, require_range


@dataclass(frozen=True)
class DetectorConfig:
    """The network that finds hands (models/detector.py).

    Attributes:
      image_size: side S of the square in which a whole picture lies; a multiple of 16.
      feature_channels: of its decoder.
      batch_norm_momentum: as the hand network's.
    """

    image_size: int = 224
    feature_channels: int = 48
    batch_norm_momentum: float = 0.97

    def __post_init__(self):
        fits = 64 <= self.image_size <= 1024 and self.image_size % 16 == 0
        require(fits, "network.image_size", "a multiple of 16 from 64 to 1024", self.image_size)
        require_range(self, "network", "feature_channels", 4, 1024)
        require_range(self, "network", "batch_norm_momentum", 0, 0.9999)


@dataclass(frozen=True)
class SceneConfig:
    """Pictures for the detector (pipelines/scenes.py). Paths lie below the data root.

    Attributes:
      cutouts: records of single hands -> how often each is drawn, to be set before other backgrounds.
      alone: records whose pictures show the labelled hand and no other.
      pictures: folders with TRAIN.json and VAL.json that list all hands of whole pictures (boxes, COCO).
      backgrounds: records of pictures without hands.
      composite, alone_share, pictures_share, empty: how often a scene is of each kind.
      sizes: least and largest longer side of a hand's box in a composed scene, relative to the square.
      most_hands: of a composed scene; fewer find room where they are large.
    """

    cutouts: dict[str, float]
    backgrounds: tuple[str, ...]
    alone: tuple[str, ...] = ()
    pictures: tuple[str, ...] = ()
    composite: float = 0.5
    alone_share: float = 0.2
    pictures_share: float = 0.2
    empty: float = 0.1
    sizes: tuple[float, ...] = (0.055, 0.8)
    most_hands: int = 6

    def __post_init__(self):
        for name in ("composite", "alone_share", "pictures_share", "empty"):
            require_range(self, "scenes", name, 0)
        require(self.composite > 0 and bool(self.cutouts), "scenes.composite", "above 0, with cutouts", self.composite)
        require(bool(self.backgrounds), "scenes.backgrounds", "at least one set", self.backgrounds)
        fits = len(self.sizes) == 2 and 0 < self.sizes[0] < self.sizes[1] <= 2
        require(fits, "scenes.sizes", "two rising numbers in (0, 2]", self.sizes)
        require_range(self, "scenes", "most_hands", 1, 100)


@dataclass(frozen=True)
class DetectorRecipe:
    """How to train a detector: scenes, network, losses' weights by name (losses/detection.py), training."""

    scenes: SceneConfig
    network: DetectorConfig = field(default_factory=DetectorConfig)
    loss: dict[str, float] = field(default_factory=dict)
    train: TrainConfig = field(default_factory=TrainConfig)
