"""Markdown tables for all reports."""

from __future__ import annotations

import math
from collections.abc import Iterable


def markdown_table(header: Iterable[str], rows: Iterable[Iterable]) -> str:
    """Formats a header and rows of cells; cells that are not text are converted by str()."""
    header = list(header)
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def rows_table(rows: list[dict]) -> str:
    """Formats dictionaries as rows. The columns are the union of all keys; "-" marks a missing value."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return markdown_table(columns, ([_cell(row.get(column, "-")) for column in columns] for row in rows))


def _cell(value):
    """Three digits of a number; all of those before the point."""
    if not isinstance(value, float):
        return str(value)
    return f"{value:.0f}" if 1000 <= abs(value) < math.inf else f"{value:.3g}"
