"""Pages: curves that can be read, pictures inside the file."""

import base64
import re

import cv2
import numpy as np

from hiu_tf.html import Page, drawn_curves


def test_a_label_has_one_colour_in_all_panels_and_one_legend_names_it():
    names = ["all", *(f"set {n}" for n in range(25))]
    panels = {title: {name: ([0, 1], [0, n]) for n, name in enumerate(names)} for title in ("loss", "mask")}
    panels["error"] = {"set 3": ([0, 1], [2, 1], "--")}
    figure = drawn_curves(panels)
    first, second, third = figure.axes
    look = lambda line: (line.get_color(), line.get_linestyle())
    assert [look(line) for line in first.lines] == [look(line) for line in second.lines]
    assert len({look(line) for line in first.lines}) == len(names), "two labels look the same"
    assert third.lines[0].get_color() == first.lines[4].get_color() and third.lines[0].get_linestyle() == "--"
    assert [text.get_text() for text in figure.legends[0].texts] == names
    assert all(axes.get_legend() is None for axes in figure.axes)
    assert not drawn_curves({"loss": {"all": ([0, 1], [0, 1])}}).legends


def test_a_picture_is_inside_the_page(tmp_path, rng):
    picture = cv2.resize(rng.integers(0, 255, [4, 6, 3], np.uint8), (60, 40))
    page = Page("title")
    page.picture(picture[:, ::-1], "a <caption>")
    page.write(tmp_path / "page.html")
    kind, data = re.search(r'src="data:image/(\w+);base64,([^"]+)"', (tmp_path / "page.html").read_text()).groups()
    found = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert kind == "jpeg" and np.abs(found.astype(int) - picture[:, ::-1]).mean() < 6
    assert "a &lt;caption&gt;" in (tmp_path / "page.html").read_text()
