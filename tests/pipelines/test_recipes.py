"""Every recipe loads; the paper's three tables, cell by cell."""

from dataclasses import replace

import pytest

from hiu_tf.config.load import load_detector_recipe, load_recipe
from hiu_tf.config.presets import model_config
from hiu_tf.errors import ConfigError
from hiu_tf.models.detector import build_detector
from hiu_tf.programs.ablate import load_grid
from tests.places import RECIPES

#: (2D pose, 3D pose, mask, SSL) of the supplement's tables; x a tick, . a cross, - no such label.
TABLES = {
    "table1_qualitative": """
        stb           . . - x
        rhd           x x x x
        dexter_object . . - x
        freihand      . x . x
        cmu           . - - x
        hiu_data      x - x x""",
    "table2_quantitative": """
        stb           . x - x
        rhd           . . . .
        dexter_object . . - x
        freihand      . x x .
        cmu           . - - x
        hiu_data      x - x .""",
    "table3_rhd": """
        stb           . . - .
        rhd           x x x x
        dexter_object . . - .
        freihand      . . . .
        cmu           . - - .
        hiu_data      x - x x""",
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_of_the_supplement_cell_by_cell(name):
    recipe = load_recipe(RECIPES / f"{name}.yaml")
    rows = [line.split() for line in TABLES[name].strip().splitlines()]
    assert list(recipe.data) == [row[0] for row in rows]
    for dataset, *cells in rows:
        data = recipe.data[dataset]
        found = [data.joints_2d, data.joints_3d, data.mask, data.ssl]
        assert found == [float(cell == "x") for cell in cells], dataset
        assert (data.repeat > 0) == ("x" in cells), f"{dataset} is drawn though nothing of it counts, or the reverse"
    assert recipe.model == "hiu_4stack"
    assert (recipe.train.epochs, recipe.train.batch_size, recipe.train.learning_rate) == (33, 192, 1e-3)


@pytest.mark.parametrize("name", TABLES)
def test_one_gpu_learns_the_same_table(name):
    whole, small = load_recipe(RECIPES / f"{name}.yaml"), load_recipe(RECIPES / f"{name}_one_gpu.yaml")
    changed = {"batch_size": 24, "accumulate": 3, "precision": "mixed_float16", "learning_rate": 3.5e-4}
    assert small == replace(whole, train=replace(whole.train, **changed))


def test_a_recipe_is_based_on_another(tmp_path):
    (tmp_path / "below").mkdir()
    (tmp_path / "a.yaml").write_text(
        "model: tiny\ndata: {x: {path: x, share: 2}, y: {path: y}}\ntrain: {steps: 5, freeze: [stem]}\n"
    )
    (tmp_path / "below" / "b.yaml").write_text("base: ../a.yaml\ndata: {x: {mask: 0}}\ntrain: {freeze: []}\n")
    (tmp_path / "c.yaml").write_text("base: below/b.yaml\nmodel: hiu_mobile\n")
    found = load_recipe(tmp_path / "c.yaml", ["train.steps=7"])
    assert (found.model, found.train.steps, found.train.freeze) == ("hiu_mobile", 7, ())
    assert (found.data["x"].path, found.data["x"].share, found.data["x"].mask, found.data["y"].mask) == ("x", 2, 0, 1)


def test_shipped_recipes_are_found_outside_of_a_checkout(tmp_path, monkeypatch):
    """As the documentation names them, unless the user has a file of that name."""
    monkeypatch.chdir(tmp_path)
    assert load_recipe("pipelines/recipes/quickstart.yaml") == load_recipe(RECIPES / "quickstart.yaml")
    own = tmp_path / "pipelines" / "recipes" / "quickstart.yaml"
    own.parent.mkdir(parents=True)
    own.write_text((RECIPES / "quickstart.yaml").read_text().replace("steps: 600", "steps: 7"))
    assert load_recipe("pipelines/recipes/quickstart.yaml").train.steps == 7
    with pytest.raises(ConfigError, match="cannot read the recipe pipelines/recipes/none.yaml"):
        load_recipe("pipelines/recipes/none.yaml")


def test_a_bad_base_is_named(tmp_path):
    for name, base in (("a", "a.yaml"), ("b", "c.yaml"), ("c", "b.yaml"), ("d", "7"), ("e", "none.yaml")):
        (tmp_path / f"{name}.yaml").write_text(f"base: {base}")
    for name, words in (
        ("a", "a.yaml: base must"),
        ("d", "got 7"),
        ("e", "cannot read the recipe .*none.yaml"),
        ("b", "got '[bc].yaml'"),
    ):
        with pytest.raises(ConfigError, match=words):
            load_recipe(tmp_path / f"{name}.yaml")


DETECTORS = [RECIPES / "hand_detector.yaml"]


@pytest.mark.parametrize("path", sorted({*RECIPES.glob("*.yaml")} - {*DETECTORS}), ids=lambda path: path.stem)
def test_every_recipe_loads_and_says_how_to_use_it(path):
    recipe = load_recipe(path)
    model_config(recipe.model, recipe.network)
    assert "# Command:" in path.read_text()


@pytest.mark.parametrize("value", ["", '""', "''"])
def test_an_empty_value_is_the_empty_text(value):
    """A shell takes the quotes of `--set train.encoder_weights=""` away."""
    assert load_recipe(RECIPES / "hiu_mobile.yaml", [f"train.encoder_weights={value}"]).train.encoder_weights == ""


@pytest.mark.parametrize("spelling", ["loss.pof", "loss.weights.pof"])
def test_the_later_spelling_of_a_loss_counts(tmp_path, spelling):
    (tmp_path / "base.yaml").write_text(f"base: {RECIPES / 'quickstart.yaml'}\nloss: {{pof: 50, mask: 3}}\n")
    (tmp_path / "child.yaml").write_text("base: base.yaml\nloss: {weights: {mask: 4}}\n")
    assert load_recipe(tmp_path / "child.yaml").loss.weights == {
        **load_recipe(tmp_path / "base.yaml").loss.weights,
        "mask": 4,
    }
    found = load_recipe(tmp_path / "child.yaml", ["loss.pof=7", "loss.weights.pof=6", f"{spelling}=1"])
    assert (found.loss.weights["pof"], found.loss.weights["mask"]) == (1, 4)


def test_numbers_are_numbers():
    recipe = RECIPES / "quickstart.yaml"
    assert load_recipe(recipe, ["train.learning_rate=1e-3", "network.bottleneck_ratio=1e-1"]).network == {
        "bottleneck_ratio": 0.1
    }
    for setting in ("train.learning_rate=true", "train.epochs=yes"):
        with pytest.raises(ConfigError, match="takes a number, got True"):
            load_recipe(recipe, [setting])


def test_a_list_is_no_text():
    """Of a text, each letter would be an element; none at all is an empty list."""
    for setting in ("augment.backgrounds=streets", "train.validate=digits"):
        with pytest.raises(ConfigError, match=f"{setting.partition('=')[0]} takes a list, such as .*, got"):
            load_recipe(RECIPES / "hiu_mobile.yaml", [setting])
    made = load_recipe(RECIPES / "hiu_mobile.yaml", ["augment.backgrounds=", "train.validate=[digits]"])
    assert made.augment.backgrounds == () and made.train.validate == ("digits",)


@pytest.mark.parametrize("path", DETECTORS, ids=lambda path: path.stem)
def test_recipes_of_detectors_are_told_apart(path):
    build_detector(load_detector_recipe(path).network)
    assert "# Command:" in path.read_text()
    with pytest.raises(ConfigError, match="recipe of a detector: give it to hiu detector"):
        load_recipe(path)


@pytest.mark.parametrize("path", sorted((RECIPES / "grids").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_arm_of_every_grid_is_a_recipe(path):
    grid = load_grid(str(path))
    recipes = {name: load_recipe(path.parent / grid.recipe, arm) for name, arm in grid.arms.items()}
    for recipe in recipes.values():
        model_config(recipe.model, recipe.network)
    assert len(recipes) >= 2
    distinct = {repr(recipe) for recipe in recipes.values()}
    assert len(distinct) == len(recipes), "two arms are the same"
