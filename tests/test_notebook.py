"""docs/first_steps.ipynb: its cells run one after the other, and show what the file keeps as their output."""

import ast
import json
import re
from pathlib import Path

import pytest

NOTEBOOK = json.loads((Path(__file__).parents[1] / "docs" / "first_steps.ipynb").read_text())
CELLS = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]


def run(source, names):
    """Runs a cell as a notebook does. Returns the value of its last line."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names) if last else None


def words(text):
    return re.findall(r"[a-z]{3,}", text)


def test_cells_run_and_the_kept_outputs_are_theirs(capsys):
    names = {}
    for cell in CELLS:
        value = run("".join(cell["source"]), names)
        kept = {name for output in cell["outputs"] for name in output.get("data", {})}
        assert ("image/jpeg" in kept) == hasattr(value, "_repr_png_")
        assert bool(kept) == (value is not None)
        streams = [output for output in cell["outputs"] if output["output_type"] == "stream"]
        printed = capsys.readouterr().out
        assert bool(streams) == bool(printed)
        for shown, output in ((printed, streams), (repr(value), [o["data"] for o in cell["outputs"] if "data" in o])):
            for text in output:  # sides, gestures and names as they are now; numbers depend on the machine
                assert words("".join(text.get("text") or text["text/plain"])) == words(shown)
    assert len(names["hands"]) == len(names["hands"].to_dict()["hands"]) >= 1


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell["id"])
def test_cells_are_short(cell):
    assert len(cell["source"]) <= 8
