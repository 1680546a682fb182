"""Markdown tables, of which all reports are made."""

from __future__ import annotations

from collections.abc import Iterable


def markdown_table(header: Iterable[str], rows: Iterable[Iterable]) -> str:
    """A header and rows of cells; cells that are no text are shown by str()."""
    header = list(header)
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def rows_table(rows: list[dict]) -> str:
    """Dictionaries as rows: every key that any of them has is a column; "-" where a row lacks it."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    show = lambda value: f"{value:.3g}" if isinstance(value, float) else str(value)
    return markdown_table(columns, ([show(row.get(column, "-")) for column in columns] for row in rows))
