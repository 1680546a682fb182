"""The grid of experiments on a tiny network: results that are kept, evaluated again, or refused."""

import json

import pytest

from hiu_tf.errors import UserError
from hiu_tf.programs import ablate
from tests.places import RECIPES

GRID = """
recipe: {recipe}
sets: [synthetic]
arms:
  plain: []
  no mask: [loss.mask=0]
"""
SETTINGS = [
    part
    for setting in (
        "model=tiny",
        "network.tasks=[heatmaps]",
        "train.steps=1",
        "train.batch_size=2",
        "train.shuffle=4",
        "loss.ssl_warmup_steps=0",
    )
    for part in ("--set", setting)
]


@pytest.fixture(scope="module")
def grid(rendered_records, tmp_path_factory):
    folder = tmp_path_factory.mktemp("grid")
    (folder / "grid.yaml").write_text(GRID.format(recipe=RECIPES / "quickstart.yaml"))
    arguments = ["--grid", str(folder / "grid.yaml"), "--data", str(rendered_records), "--out", str(folder / "out")]
    assert ablate.main([*arguments, "--seeds", "1", "--arms", "plain", *SETTINGS]) == 0
    return folder, [*arguments, "--seeds", "1"]


@pytest.mark.long
def test_what_is_done_is_kept(grid, capsys):
    folder, arguments = grid
    metrics = folder / "out" / "plain" / "seed1" / ablate.METRICS
    before = metrics.stat().st_mtime_ns
    assert ablate.main([*arguments, "--arms", "plain", *SETTINGS]) == 0
    assert metrics.stat().st_mtime_ns == before
    assert "| plain | 0." in capsys.readouterr().out


@pytest.mark.long
def test_what_was_not_run_or_measured_says_so(grid, capsys):
    _, arguments = grid
    assert ablate.main([*arguments, "--table", "--sets", "synthetic,digits"]) == 0
    text = capsys.readouterr().out
    assert text.count("| no mask | not run |") == 2
    assert "| plain | not run |" in text.partition("**digits**")[2]


@pytest.mark.long
def test_another_recipe_is_refused(grid):
    _, arguments = grid
    with pytest.raises(UserError, match="plain/seed1 holds a run by another recipe"):
        ablate.main([*arguments, "--arms", "plain", *SETTINGS, "--set", "train.learning_rate=0.5"])


def test_what_a_program_said_last_is_the_error(tmp_path, rendered_records):
    (tmp_path / "grid.yaml").write_text(GRID.format(recipe=RECIPES / "quickstart.yaml"))
    arguments = [
        "--grid",
        str(tmp_path / "grid.yaml"),
        "--data",
        str(tmp_path / "none"),
        "--out",
        str(tmp_path / "out"),
    ]
    with pytest.raises(UserError, match="hiu_tf.programs.train .* failed: error: .* does not exist"):
        ablate.main([*arguments, *SETTINGS])


@pytest.mark.long
def test_other_samples_are_measured_anew(grid):
    """The run is kept, but evaluated again."""
    folder, arguments = grid
    other = folder / "half.yaml"
    other.write_text((folder / "grid.yaml").read_text() + "fold: [0.0, 0.9]\n")
    weights = folder / "out" / "plain" / "seed1" / "network.weights.h5"
    before = weights.stat().st_mtime_ns
    assert ablate.main(["--grid", str(other), *arguments[2:], "--arms", "plain", *SETTINGS]) == 0
    assert weights.stat().st_mtime_ns == before
    request = json.loads((folder / "out" / "plain" / "seed1" / ablate.REQUEST).read_text())
    assert request["measured"][-1] == "0.0,0.9"


def test_a_cell_has_mean_and_standard_deviation_over_the_seeds():
    runs = [{"synthetic": {"joints_2d_auc": value}} for value in (0.1, 0.2, 0.6)]
    assert "| arm | 0.300 ± 0.265 | - |" in ablate.paper_table({"arm": runs}, "synthetic", {})
    assert "| arm | 0.100 | - |" in ablate.paper_table({"arm": runs[:1]}, "synthetic", {})
