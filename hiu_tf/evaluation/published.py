"""Published results of others, as data. They are printed beside our own results, never mixed with them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import yaml


@cache
def published() -> dict[str, dict]:
    """Benchmark -> description, source, metrics [name, unit, higher is better], methods and their values."""
    return yaml.safe_load(Path(__file__).with_name("published.yaml").read_text(encoding="utf-8"))


def published_rows(benchmark: str) -> tuple[list[str], list[list]]:
    """Header and rows of a benchmark's table; "-" for unknown numbers."""
    entry = published()[benchmark]
    header = ["method", *(f"{name} {'↑' if higher else '↓'} ({unit})" for name, unit, higher in entry["metrics"])]
    rows = [[name, *("-" if v is None else v for v in values)] for name, values in entry["methods"].items()]
    return header, rows


def published_curve(benchmark: str) -> tuple[str, np.ndarray, np.ndarray] | None:
    """(method, thresholds, PCK) of a benchmark, or None if no curve is known."""
    curve = published()[benchmark].get("curve")
    return (curve["method"], np.array(curve["x"]), np.array(curve["y"])) if curve else None
