"""What every signature of an exported model takes and gives: checked in, and held against the exports by tests."""

from __future__ import annotations

import json
from pathlib import Path

CONTRACT = Path(__file__).with_name("contract.json")


def contract() -> dict[str, dict]:
    """Signature -> use, inputs and outputs, each with dtype, shape and what it is.

    Letters of shapes: B batch, S side of the network's crops, V vertices of its hand, H and W of any picture.
    """
    return json.loads(CONTRACT.read_text(encoding="utf-8"))
