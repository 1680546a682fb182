"""Self-contained HTML pages: text, tables, curves and pictures in one file that opens anywhere."""

from __future__ import annotations

import base64
import html
import io
from pathlib import Path

from hiu_tf.atomic import written_whole

_STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:1em 0}td,th{border:1px solid #ccc;padding:.25em .6em;text-align:right}
td:first-child,th:first-child{text-align:left}img{max-width:100%}figure{margin:1em 0}figcaption{color:#666}
pre{background:#f5f5f5;padding:1em;overflow:auto}small{color:#666}"""


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

    def picture(self, png: bytes, caption: str = "") -> None:
        """Appends a PNG picture."""
        data = base64.b64encode(png).decode()
        title = html.escape(caption)
        self._parts.append(
            f'<figure><img alt="{title}" src="data:image/png;base64,{data}"><figcaption>{title}</figcaption></figure>'
        )

    def curves(self, panels: dict[str, dict[str, tuple]], xlabel: str = "step", log: bool = False) -> None:
        """Appends plots: one panel per {title: {label: (x, y)}}, three in a row; (x, y, "--") sets a line style."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        columns = min(3, len(panels))
        rows = -(-len(panels) // columns)
        figure = Figure(figsize=(4.6 * columns, 3.3 * rows), layout="constrained")
        for place, (title, lines) in enumerate(panels.items(), start=1):
            axes = figure.add_subplot(rows, columns, place)
            for label, (x, y, *style) in lines.items():
                axes.plot(x, y, *style, label=_plain(label), linewidth=1.2)
            axes.set_title(_plain(title), fontsize=10)
            axes.set_xlabel(xlabel, fontsize=8)
            axes.tick_params(labelsize=8)
            axes.grid(alpha=0.3)
            if log:
                axes.set_yscale("log")
            if len(lines) > 1:
                axes.legend(fontsize=7)
        content = io.BytesIO()
        FigureCanvasAgg(figure).print_png(content)
        self.picture(content.getvalue())

    def write(self, path: Path) -> None:
        """Writes the file atomically."""
        title = html.escape(self._title)
        head = f'<!doctype html><html><head><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style></head>'
        with written_whole(path) as scratch:
            scratch.write_text(f"{head}<body><h1>{title}</h1>{''.join(self._parts)}</body></html>", encoding="utf-8")


def _shown(value):
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _plain(text):
    """Escapes dollar signs, which would start a formula in matplotlib."""
    return str(text).replace("$", r"\$")
