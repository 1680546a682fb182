"""Self-contained HTML pages: text, tables, curves and pictures in one file that opens anywhere."""

from __future__ import annotations

import base64
import html
import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hiu_tf.atomic import written_whole
from hiu_tf.pictures import encode_jpeg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:1em 0}td,th{border:1px solid #ccc;padding:.25em .6em;text-align:right}
td:first-child,th:first-child{text-align:left}img{max-width:100%}figure{margin:1em 0}figcaption{color:#666}
pre{background:#f5f5f5;padding:1em;overflow:auto}small{color:#666}"""

_COLOURS = (
    "#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf",
    "#aec7e8", "#ffbb78", "#98df8a", "#ff9896", "#c5b0d5", "#c49c94", "#f7b6d2", "#c7c7c7", "#dbdb8d", "#9edae5",
)  # fmt: skip


class Page:
    """A page that is built from top to bottom; each method appends one element.

    Args:
      title: its heading.
    """

    def __init__(self, title: str):
        self._title, self._parts = title, []

    def heading(self, text: str) -> None:
        """Appends a section heading."""
        self._parts.append(f"<h2>{html.escape(text)}</h2>")

    def text(self, text: str) -> None:
        """Appends a paragraph."""
        self._parts.append(f"<p>{html.escape(text)}</p>")

    def block(self, text: str) -> None:
        """Appends preformatted text in a box."""
        self._parts.append(f"<pre>{html.escape(text)}</pre>")

    def table(self, header: list[str], rows: list[list]) -> None:
        """Appends a table; numbers are shown with four digits."""
        cells = lambda row, tag: "".join(f"<{tag}>{html.escape(_shown(value))}</{tag}>" for value in row)
        lines = [f"<tr>{cells(row, 'td')}</tr>" for row in rows]
        self._parts.append(f"<table><tr>{cells(header, 'th')}</tr>{''.join(lines)}</table>")

    def items(self, texts: list[str]) -> None:
        """Appends a list in small print."""
        self._parts.append(f"<ul>{''.join(f'<li><small>{html.escape(text)}</small></li>' for text in texts)}</ul>")

    def picture(self, pixels: np.ndarray, caption: str = "") -> None:
        """Appends a picture [H, W, 3] uint8 RGB, as JPEG: a report has many of them."""
        self._figure("jpeg", encode_jpeg(np.ascontiguousarray(pixels)), caption)

    def curves(self, panels: dict[str, dict[str, tuple]], xlabel: str = "step", log: bool = False) -> None:
        """Appends plots (`drawn_curves`)."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        content = io.BytesIO()
        FigureCanvasAgg(drawn_curves(panels, xlabel, log)).print_png(content)
        self._figure("png", content.getvalue())

    def _figure(self, kind, content, caption=""):
        data, title = base64.b64encode(content).decode(), html.escape(caption)
        self._parts.append(
            f'<figure><img alt="{title}" src="data:image/{kind};base64,{data}"><figcaption>{title}</figcaption></figure>'
        )

    def write(self, path: Path) -> None:
        """Writes the file atomically."""
        title = html.escape(self._title)
        head = f'<!doctype html><html><head><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style></head>'
        with written_whole(path) as scratch:
            scratch.write_text(f"{head}<body><h1>{title}</h1>{''.join(self._parts)}</body></html>", encoding="utf-8")


def drawn_curves(panels: dict[str, dict[str, tuple]], xlabel: str = "step", log: bool = False) -> Figure:
    """Plots: one panel per {title: {label: (x, y)}}, three in a row; (x, y, "--") sets a line style.

    A label has the same colour in all panels; one legend above them names the labels, if there are several.
    """
    from matplotlib.figure import Figure

    labels = list(dict.fromkeys(label for lines in panels.values() for label in lines))
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    legend = 0.22 * -(-len(labels) // (2 * columns)) if len(labels) > 1 else 0.0  # inches
    width, height = 4.6 * columns, 3.3 * rows + legend
    figure = Figure(figsize=(width, height))
    # In inches: matplotlib's own layouts and places for legends take seconds for many lines.
    figure.subplots_adjust(0.55 / width, 0.45 / height, 1 - 0.15 / width, 1 - (0.35 + legend) / height, 0.2, 0.32)
    drawn = {}
    for place, (title, lines) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(rows, columns, place)
        for label, (x, y, *style) in lines.items():
            number = labels.index(label)
            dots = [":"] if number > len(_COLOURS) else []  # the colours come again
            (drawn[label],) = axes.plot(x, y, *(style or dots), **_line(number))
        axes.set_title(_plain(title), fontsize=10)
        axes.set_xlabel(xlabel, fontsize=8)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.3)
        if log:
            axes.set_yscale("log")
    if legend:
        names = [_plain(label) for label in drawn]
        figure.legend(drawn.values(), names, ncol=2 * columns, fontsize=8, loc="upper center", frameon=False)
    return figure


def _line(number):
    """The line of a label: the first one is black and thick."""
    if number == 0:
        return {"color": "black", "linewidth": 2.0}
    return {"color": _COLOURS[(number - 1) % len(_COLOURS)], "linewidth": 1.0}


def _shown(value):
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _plain(text):
    """Escapes dollar signs, which would start a formula in matplotlib."""
    return str(text).replace("$", r"\$")
