"""The card of an exported model: its inputs, outputs and units, and how it was trained."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import hiu_tf
from hiu_tf.config.schema import ModelConfig
from hiu_tf.conventions.skeleton import BONES, JOINT_NAMES
from hiu_tf.exporting.contract import contract
from hiu_tf.geometry.camera import virtual_intrinsics
from hiu_tf.geometry.window import SCALE
from hiu_tf.hand.model import HandModel
from hiu_tf.runtime.card import CARD
from hiu_tf.runtime.results import write_json
from hiu_tf.tasks import find_tasks


def model_card(
    preset: str,
    image_size: int,
    hand: HandModel,
    metrics: dict | None,
    min_score: float = 0.0,
    network: ModelConfig | None = None,
) -> dict:
    """The card as plain data.

    Args:
      preset, image_size: of the network.
      hand: the hand model.
      metrics: measured metrics.
      min_score: minimum score of a hand; a lower one counts as no hand (docs/evaluation.md).
      network: its settings, so that a training can start from the model even when the preset has changed. None: a
        network with the paper's tasks, whose settings are those of the preset.
    """
    tasks = network.tasks if network else ModelConfig.tasks
    signatures = contract(find_tasks(tasks))
    return {
        "name": preset,
        "hiu_tf": hiu_tf.__version__,
        "image_size": image_size,
        "window_scale": SCALE,
        "min_score": min_score,
        "input": f"image [B, {image_size}, {image_size}, 3] float32, RGB in [0, 1], one right hand at 1 / {SCALE} of the side",
        "tasks": list(tasks),
        "network": asdict(network) if network else {},
        # Fields that the runtime reads.
        "outputs": {
            name: f"[{', '.join(map(str, output['shape']))}] {output['is']}"
            for name, output in signatures["tensor"]["outputs"].items()
        },
        "signatures": signatures,
        "camera": virtual_intrinsics(image_size).tolist(),
        "joint_names": JOINT_NAMES,
        "bones": BONES.tolist(),
        "vertices": len(hand.vertices),
        "faces": hand.faces.tolist(),
        "hand": {"name": hand.name, "licence": hand.licence},
        "metrics": metrics or {},
    }


def write_card(folder: Path, card: dict) -> None:
    """Writes FOLDER/model.json atomically."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / CARD, card)


def card_text(card: dict, files: dict[str, int], tables: list[str], training: str) -> str:
    """The card for people, Markdown.

    Args:
      files: name -> size in bytes.
      tables: tables of the metrics, and of the files' parity with the network; "" for one that was not measured.
      training: a sentence that says how the network was trained.
    """
    lines = [f"# {card['name']}", "", training, "", "## Files", ""]
    lines += [f"- `{name}`: {size / 1e6:.1f} MB" for name, size in files.items()]
    lines += ["", "## Input and outputs", "", f"- input: {card['input']}"]
    lines += [f"- hand model: {card['hand']['name']} ({card['hand']['licence']})"]
    lines += [f"- `{name}`: {text}" for name, text in card["outputs"].items()]
    for title, table in zip(("Measured", "Files against the network"), tables):
        lines += ["", f"## {title}", "", table or "not measured"]
    return "\n".join([*lines, ""])
