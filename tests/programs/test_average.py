"""`hiu average`: the mean of the weights of runs."""

import json
import shutil
from dataclasses import asdict

import numpy as np
import pytest
import tf_keras as keras

from hiu_tf.cli import main
from hiu_tf.config.presets import model_config
from hiu_tf.models.hiu import build_hiu
from hiu_tf.training import folder
from hiu_tf.training.detector import load_detector
from hiu_tf.training.folder import RECIPE, WEIGHTS, load_run
from tests.places import SHIPPED


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Three runs of one network with different weights."""
    root = tmp_path_factory.mktemp("runs")
    settings = {"tasks": ["heatmaps"]}
    for number in range(3):
        keras.utils.set_random_seed(number)
        (root / str(number)).mkdir()
        recipe = {"model": "tiny", "network": settings, "hand": "procedural", "train": {"seed": number}}
        (root / str(number) / RECIPE).write_text(json.dumps(recipe))
        build_hiu(model_config("tiny", settings)).save_weights(root / str(number) / WEIGHTS)
    return root


@pytest.mark.long
def test_the_mean_of_three(runs, tmp_path):
    assert main(["average", *(str(runs / name) for name in "012"), "--out", str(tmp_path / "mean")]) == 0
    single = [load_run(runs / name).network.get_weights() for name in "012"]
    for found, *parts in zip(load_run(tmp_path / "mean").network.get_weights(), *single):
        np.testing.assert_allclose(found, np.mean(parts, axis=0), atol=1e-6)
    assert json.loads((tmp_path / "mean" / RECIPE).read_text())["train"]["seed"] == 2
    assert [source["run"] for source in json.loads((tmp_path / "mean" / "averaged.json").read_text())] == [
        "0",
        "1",
        "2",
    ]


@pytest.mark.long
def test_a_run_with_itself_stays(runs, tmp_path):
    assert main(["average", str(runs / "1"), str(runs / "1"), "--out", str(tmp_path / "mean")]) == 0
    for found, before in zip(
        load_run(tmp_path / "mean").network.get_weights(), load_run(runs / "1").network.get_weights()
    ):
        np.testing.assert_array_equal(found, before)


@pytest.mark.long
def test_a_run_and_the_model_that_it_started_from(exported_once, tmp_path, capsys):
    """An exported SavedModel counts as a run does, except as the last one, whose recipe the result has."""
    run = tmp_path / "run"
    run.mkdir()
    (run / RECIPE).write_text(json.dumps({"model": "tiny", "network": {}, "hand": "procedural"}))
    keras.utils.set_random_seed(9)
    continued = build_hiu(model_config("tiny"))
    continued.save_weights(run / WEIGHTS)
    assert main(["average", str(exported_once), str(run), "--out", str(tmp_path / "mean")]) == 0
    mean = load_run(tmp_path / "mean").network.get_weights()
    started = load_run(exported_once).network.get_weights()
    for found, *parts in zip(mean, started, continued.get_weights()):
        np.testing.assert_allclose(found, np.mean(parts, axis=0), atol=1e-6)
    assert main(["average", str(run), str(exported_once), "--out", str(tmp_path / "other")]) == 1
    assert "is no finished run" in capsys.readouterr().err


@pytest.mark.long
def test_a_model_of_several_stacks_is_refused(exported_once, runs, tmp_path, capsys, monkeypatch):
    """A SavedModel has the heads of its last stack alone."""
    two = model_config("tiny", {"stacks": 2})
    monkeypatch.setattr(folder, "load_run", lambda _: folder.Run(build_hiu(two), "tiny", two, None))
    assert main(["average", str(exported_once), str(runs / "0"), "--out", str(tmp_path / "mean")]) == 1
    assert "has the last of 2 stacks alone" in capsys.readouterr().err


@pytest.mark.long
def test_a_detector_and_the_run_that_started_from_it(tmp_path, capsys):
    shipped, run = SHIPPED.parent / "hand_detector", tmp_path / "run"
    network, config = load_detector(shipped)
    run.mkdir()
    (run / RECIPE).write_text(json.dumps({"network": asdict(config) | {"batch_norm_momentum": 0.97}}))
    network.set_weights([3 * weight for weight in network.get_weights()])
    network.save_weights(run / WEIGHTS)
    assert main(["average", str(shipped), str(run), "--out", str(tmp_path / "mean")]) == 0
    for found, tripled in zip(load_detector(tmp_path / "mean")[0].get_weights(), network.get_weights()):
        np.testing.assert_allclose(found, 2 / 3 * tripled, rtol=1e-5, atol=1e-7)
    assert main(["average", str(SHIPPED), str(run), "--out", str(tmp_path / "other")]) == 1
    assert "has another network" in capsys.readouterr().err


@pytest.mark.long
def test_networks_are_compared_by_all_their_settings(runs, tmp_path):
    """A setting that is the preset's own may be said or not."""
    other = shutil.copytree(runs / "1", tmp_path / "other")
    recipe = json.loads((other / RECIPE).read_text())
    recipe["network"] |= {"image_size": model_config("tiny").image_size}
    (other / RECIPE).write_text(json.dumps(recipe))
    assert main(["average", str(runs / "0"), str(other), "--out", str(tmp_path / "mean")]) == 0


@pytest.mark.parametrize("other", [{"hand": "mano_right.npz"}, {"pof_encoding": "xiang"}])
def test_numbers_that_mean_something_else_have_no_mean(runs, tmp_path, capsys, other):
    both = {}
    for name, settings in (("1", {"pof_encoding": "paper"}), ("2", {"pof_encoding": "paper"} | other)):
        both[name] = shutil.copytree(runs / name, tmp_path / name)
        recipe = json.loads((both[name] / RECIPE).read_text())
        (both[name] / RECIPE).write_text(json.dumps(recipe | settings))
    assert main(["average", *map(str, both.values()), "--out", str(tmp_path / "mean")]) == 1
    ((name, value),) = other.items()
    assert f"has another network than {both['1']}: {name} {value} instead of" in capsys.readouterr().err


@pytest.mark.long
def test_what_cannot_be_averaged_is_named(runs, tmp_path, capsys):
    def refused(words, *folders):
        assert main(["average", *map(str, folders), "--out", str(tmp_path / "mean")]) == 1
        assert words in capsys.readouterr().err and not (tmp_path / "mean").exists()

    refused("give two or more runs", runs / "0")
    refused("is no finished run", runs / "0", tmp_path)
    other = shutil.copytree(runs / "0", tmp_path / "other")
    (other / RECIPE).write_text(json.dumps({"model": "tiny", "network": {"tasks": ["mask"]}}))
    refused("tasks ('mask',) instead of ", runs / "0", other)
    shutil.copy(runs / "0" / RECIPE, other)
    build_hiu(model_config("tiny", {"tasks": ["mask"]})).save_weights(other / WEIGHTS)
    refused("does not hold the arrays", runs / "0", other)
    (other / WEIGHTS).write_bytes(b"no h5")
    refused("cannot be read", runs / "0", other)
    for content in ("{", "[1]", '{"network": null}', '{"network": [1]}', '{"model": "tiny", "network": [1]}'):
        (other / RECIPE).write_text(content)
        refused("is no recipe of a run", runs / "0", other)
    (tmp_path / "mean").mkdir()
    assert main(["average", str(runs / "0"), str(runs / "1"), "--out", str(tmp_path / "mean")]) == 1
    assert "give another --out" in capsys.readouterr().err
