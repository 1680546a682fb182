"""The reference that `make docs` builds from docstrings has a page for each public name, and no dead links."""

import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

import hiu_tf

ROOT = Path(__file__).parents[1]


class Links(HTMLParser):
    """Collects the targets and the anchors of a page."""

    def __init__(self, path):
        super().__init__()
        self.links, self.anchors = set(), set()
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.anchors.add(values.get("id"))
        if tag == "a" and values.get("href"):
            self.links.add(values["href"])


@pytest.mark.slow
def test_reference(tmp_path):
    parts = [f"hiu_tf.{path.parent.name}" for path in (ROOT / "hiu_tf").glob("*/__init__.py")]
    parts += [f"hiu_tf.{path.stem}" for path in (ROOT / "hiu_tf").glob("[a-z]*.py")]
    command = [sys.executable, "-m", "pdoc", "--output-directory", str(tmp_path), "hiu_tf", *parts, "pipelines"]
    subprocess.run(command, check=True, capture_output=True)
    pages = {path: Links(path) for path in tmp_path.rglob("*.html")}
    for name, module in hiu_tf._DOOR.items():
        page = tmp_path / f"{module.replace('.', '/')}.html"
        assert name in pages[page].anchors, f"{name} is not in {page}"
    for path, page in pages.items():
        for link in page.links:
            file, _, anchor = link.partition("#")
            if "://" not in link:
                target = (path.parent / file).resolve() if file else path
                assert target in pages, f"{path} links to {link}"
                # Members of private base classes are shown, and have no place of their own.
                assert not anchor or anchor.startswith("_") or anchor in pages[target].anchors, (
                    f"{path} links to {link}"
                )
