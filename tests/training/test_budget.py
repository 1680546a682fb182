"""The memory of a training, computed from its recipe, against the network's own arrays."""

from dataclasses import replace

import pytest

from hiu_tf.config.load import load_recipe
from hiu_tf.config.presets import model_config
from hiu_tf.models.hiu import build_hiu
from hiu_tf.programs.train import _freihand_note, _precision_note
from hiu_tf.training.budget import memory_rows
from tests.places import RECIPES


@pytest.fixture(scope="module")
def recipe():
    return load_recipe(RECIPES / "quickstart.yaml", ["model=hiu_small_64", "train.ema=0", "train.batch_size=32"])


def sizes(recipe, devices=1):
    return {row["on each device"]: row["MB"] for row in memory_rows(recipe, devices)}


def with_train(recipe, **changes):
    return replace(recipe, train=replace(recipe.train, **changes))


def test_weights_gradients_and_moments(recipe):
    network = build_hiu(model_config(recipe.model))
    weights = sum(4 * w.shape.num_elements() for w in network.weights) / 1e6
    found = sizes(recipe)
    assert found["weights"] == found["gradients"] == pytest.approx(weights, abs=0.51)
    assert found["optimizer (adamw)"] == pytest.approx(2 * weights, abs=0.51)
    assert found["sum"] == pytest.approx(sum(v for k, v in found.items() if k != "sum"), abs=3)
    assert sizes(with_train(recipe, optimizer="sgdw"))["optimizer (sgdw)"] == pytest.approx(weights, abs=0.51)
    assert sizes(with_train(recipe, ema=0.9))["averaged weights"] == found["weights"]


def test_pictures_at_a_time(recipe):
    outputs = lambda found: next(mb for name, mb in found.items() if name.startswith("outputs"))
    whole = outputs(sizes(recipe))
    assert outputs(sizes(recipe, devices=4)) == pytest.approx(whole / 4, abs=1)
    assert outputs(sizes(with_train(recipe, accumulate=8))) == pytest.approx(whole / 8, abs=1)
    assert outputs(sizes(with_train(recipe, precision="mixed_float16"))) == pytest.approx(whole / 2, abs=1)
    assert outputs(sizes(replace(recipe, network={"image_size": 128}))) == pytest.approx(4 * whole, rel=0.02)


@pytest.mark.parametrize("name", ["table1_qualitative", "table2_quantitative", "table3_rhd"])
def test_one_gpu_is_enough(name):
    assert sizes(load_recipe(RECIPES / f"{name}_one_gpu.yaml"))["sum"] < 20_000


def test_freihand_with_another_hand_is_named_at_the_start(recipe, tmp_path):
    for dataset in ("freihand", "synthetic"):
        (tmp_path / dataset).mkdir()
        (tmp_path / dataset / "index.json").write_text(f'{{"version": 2, "dataset": "{dataset}", "splits": {{}}}}')
    on = lambda path: replace(recipe, data={"set": replace(recipe.data["synthetic"], path=path)})
    assert "has 1500 vertices. FreiHAND's server takes MANO's 778 alone" in _freihand_note(on("freihand"), tmp_path)
    assert _freihand_note(on("synthetic"), tmp_path) == ""


def test_a_precision_that_the_cpu_emulates_is_named(recipe, tmp_path):
    half = with_train(recipe, precision="mixed_bfloat16")
    for flags, slow in (("fma avx2", True), ("fma avx2 avx512_bf16", False), ("asimd i8mm bf16", False)):
        (tmp_path / "cpuinfo").write_text(f"flags : {flags}")
        assert ("train.precision=float32 is faster here" in _precision_note(half, tmp_path / "cpuinfo")) == slow
        assert _precision_note(recipe, tmp_path / "cpuinfo") == ""
    assert _precision_note(half, tmp_path / "none") == ""
