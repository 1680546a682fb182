"""The reader of docs/data.md, run as it is printed there."""

import re
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from hiu_tf.programs.prepare import main
from pipelines import datasets
from tests.pipelines.datasets import formats


@pytest.fixture
def printed_reader(monkeypatch):
    page = (Path(__file__).parents[2] / "docs" / "data.md").read_text()
    code = re.search(r"```python\n(.*?)```", page, re.DOTALL).group(1)
    assert len(code.splitlines()) <= 45
    module = types.ModuleType("mine_reader")
    module.__file__ = __file__
    exec(compile(code, "docs/data.md", "exec"), module.__dict__)
    monkeypatch.setitem(sys.modules, "mine_reader", module)
    monkeypatch.setitem(datasets.READERS, "mine", "mine_reader")


def test_the_printed_reader_reads(printed_reader, tmp_path, rng):
    points = rng.uniform(10, 90, (2, 21, 2)).round(3)
    for number in range(2):
        formats.save(tmp_path / f"{number}.png", formats.noise(rng, 100, 100))
    lines = [",".join([f"{n}.png", *map(str, points[n].ravel())]) for n in range(2)]
    (tmp_path / "train.csv").write_text("\n".join(lines))
    opened = datasets.open_split("mine", str(tmp_path), "train")
    for (_, sample), wanted in zip(opened.outcomes(), points):
        np.testing.assert_allclose(sample.joints_2d, wanted, atol=1e-4)
    assert main(["mine", "--source", str(tmp_path), "--split", "train", "--check"]) == 0
