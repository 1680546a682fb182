"""Sources of the detector's training pictures: samples of single hands, whole pictures with boxes, pictures without hands."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hiu_tf.config.detection import SceneConfig
from hiu_tf.conventions.coco import own_box
from hiu_tf.conventions.skeleton import NUM_JOINTS
from pipelines.build import raw_records
from pipelines.mixing import data_folder
from pipelines.records import decode
from pipelines.scene_hands import direction_of
from pipelines.schema import SIDES, DataSetError, Sample


@dataclass(frozen=True)
class Material:
    """Sources of the scenes.

    Attributes:
      cutouts: sets of samples of one hand each, and how often each set is drawn.
      alone: samples whose whole picture shows only the labelled hand.
      pictures: folder -> whole photographs with all hands labelled, (encoded picture, hands [N, 8] in its pixels), and how
        often the folder is drawn.
      backgrounds: encoded pictures without hands.
    """

    cutouts: list[tuple[list[Sample], float]]
    alone: list[Sample]
    pictures: dict[str, tuple[list[tuple[bytes, np.ndarray]], float]]
    backgrounds: list[bytes]


def load_material(config: SceneConfig, root: str | Path, split: str) -> Material:
    """Reads a split of all sets that the recipe names below `root`.

    Raises:
      RecordError, DataSetError: something is missing or damaged.
    """
    read = lambda path: [decode(r) for r in raw_records(data_folder(root, path), split).as_numpy_iterator()]
    whole = {path: labelled_pictures(data_folder(root, path), split) for path in config.pictures}
    cutouts = [([s for s in read(path) if _is_clear(s)], share) for path, share in config.cutouts.items() if share]
    if not any(found for found, _ in cutouts):
        raise DataSetError(
            f"{', '.join(config.cutouts)}: no hand of {split} has all 21 joints labelled and inside its picture: name other "
            "sets in scenes.cutouts"
        )
    return Material(
        cutouts=[(found, share) for found, share in cutouts if found],
        alone=[sample for path in config.alone for sample in read(path)],
        pictures={path: (found, config.pictures[path]) for path, found in whole.items() if found},
        backgrounds=[sample.image for path in config.backgrounds for sample in read(path)],
    )


def labelled_pictures(folder: Path, split: str) -> list[tuple[bytes, np.ndarray]]:
    """Reads the whole pictures of FOLDER/SPLIT.json (COCO) with all their hands.

    An annotation has `bbox`; `hand_side`, 21 `keypoints` (for the direction), `iscrowd` (1: the loss and the metrics
    ignore this box) and `other_hands`, a list of the boxes of hands without an annotation, may be missing.

    Raises:
      DataSetError: the list or a picture cannot be read.
    """
    path = folder / f"{split}.json"
    try:
        content = json.loads(path.read_text())
        hands = {image["id"]: [] for image in content["images"]}
        for hand in content["annotations"]:
            points = np.reshape(np.array(hand.get("keypoints") or np.zeros(3 * NUM_JOINTS), float), (NUM_JOINTS, 3))
            direction = direction_of(points[:, :2], points[:, 2] > 0, max(hand["bbox"][2:]))
            counts = not hand.get("iscrowd", 0)
            hands[hand["image_id"]].append([*own_box(hand["bbox"]), *direction, SIDES[hand.get("hand_side")], counts])
            hands[hand["image_id"]] += [[*own_box(box), 0, 0, SIDES[None], 1] for box in hand.get("other_hands", ())]
        return [
            ((folder / image["file_name"]).read_bytes(), np.reshape(np.array(hands[image["id"]], np.float32), (-1, 8)))
            for image in content["images"]
        ]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DataSetError(f"{path} is no list of pictures with boxes of hands: {error!r}") from error


def _is_clear(sample):
    """Whether all joints of the hand are labelled and inside the picture, so that the whole hand is visible."""
    inside = np.all((sample.joints_2d > -2) & (sample.joints_2d < [sample.width + 1, sample.height + 1]))
    return bool(np.all(sample.joints_2d_weight > 0) and inside)
