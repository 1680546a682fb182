"""Inputs and outputs of every signature of an exported model. Tests compare this contract with the exports."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from hiu_tf.tasks import PAPER
from hiu_tf.tasks.base import Output, Task

_USE = "own pre-processing, a quarter of the bytes"
_BYTES = "RGB, 0 to 255; otherwise as in tensor"
CONTRACT = Path(__file__).with_name("contract.json")


def added_outputs(tasks: Iterable[Task]) -> dict[str, Output]:
    """The outputs of tasks beyond the paper's."""
    return {name: output for task in tasks if task not in PAPER for name, output in task.outputs.items()}


def contract(tasks: Iterable[Task] = PAPER) -> dict[str, dict]:
    """Signature -> use, inputs and outputs, each with dtype, shape and description.

    Tasks beyond the paper's add their outputs to the signatures "tensor" and "mesh"; "tensor_uint8" differs from the first by its input. Letters of shapes: B batch, S side of the
    network's crops, V vertices of its hand, H and W of any picture.
    """
    signatures = json.loads(CONTRACT.read_text(encoding="utf-8"))
    for signature in ("tensor", "mesh"):
        signatures[signature]["outputs"] |= {
            name: {"dtype": "float32", "shape": ["B", *output.shape], "is": output.words}
            for name, output in added_outputs(tasks).items()
        }
    crops = signatures["tensor"]["inputs"]["image"] | {"dtype": "uint8", "is": _BYTES}
    signatures["tensor_uint8"] = signatures["tensor"] | {"use": _USE, "inputs": {"image": crops}}
    return signatures
