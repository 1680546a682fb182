"""The card of an exported model: what it takes, what it gives, in which units, how it was made."""

from __future__ import annotations

import json
from pathlib import Path

import hiu_tf
from hiu_tf.conventions import keys
from hiu_tf.conventions.skeleton import JOINT_NAMES
from hiu_tf.geometry.camera import virtual_intrinsics
from hiu_tf.hand.model import HandModel

OUTPUT_UNITS = {
    keys.JOINTS_2D: "[B, 21, 2] pixels (x, y) of the crop, read off the heat maps",
    keys.SCORES: "[B, 21] peak of each heat map, 0..1",
    keys.MASK: "[B, S, S] probability of hand, 0..1",
    keys.JOINTS_3D: "[B, 21, 3] metres, virtual camera of the crop",
    keys.VERTICES: "[B, V, 3] metres, virtual camera of the crop",
    keys.JOINTS_2D_PROJECTED: "[B, 21, 2] pixels (x, y) of the crop, projected 3D joints",
    keys.SHAPE: "[B, 10] beta, standard deviations",
    keys.POSE: "[B, 15, 3] theta, axis-angle, radians",
    keys.ROTATION: "[B, 3] R, axis-angle, hand frame -> camera",
    keys.TRANSLATION: "[B, 3] T, metres",
}


def model_card(preset: str, image_size: int, hand: HandModel, metrics: dict | None) -> dict:
    """The card as plain data."""
    return {
        "name": preset,
        "hiu_tf": hiu_tf.__version__,
        "image_size": image_size,
        "input": f"image [B, {image_size}, {image_size}, 3] float32, RGB in [0, 1], one right hand at 1 / 1.6 of the side",
        "outputs": OUTPUT_UNITS,
        "camera": virtual_intrinsics(image_size).tolist(),
        "joint_names": JOINT_NAMES,
        "faces": hand.faces.tolist(),
        "hand": {"name": hand.name, "licence": hand.licence},
        "metrics": metrics or {},
    }


def write_card(folder: Path, card: dict) -> None:
    """Writes model.json for programs and card.md for people."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.json").write_text(json.dumps(card))


def card_text(card: dict, files: dict[str, int], metrics_table: str, training: str) -> str:
    """The card for people, Markdown."""
    lines = [f"# {card['name']}", "", training, "", "## Files", ""]
    lines += [f"- `{name}`: {size / 1e6:.1f} MB" for name, size in files.items()]
    lines += ["", "## Input and outputs", "", f"- input: {card['input']}"]
    lines += [f"- hand model: {card['hand']['name']} ({card['hand']['licence']})"]
    lines += [f"- `{name}`: {text}" for name, text in card["outputs"].items()]
    lines += ["", "## Measured", "", metrics_table or "not measured", ""]
    return "\n".join(lines)
