"""A new head, made of one file and one key of the recipe, is trained, evaluated, drawn, exported and loaded again."""

import json
from functools import partial

import numpy as np
import pytest
import yaml

from hiu_tf.config.load import load_recipe
from hiu_tf.errors import ConfigError
from hiu_tf.exporting.run import export
from hiu_tf.programs._measure import Part
from hiu_tf.programs.evaluate import evaluate_run
from hiu_tf.runtime.backend import load_network
from hiu_tf.tasks import PAPER, find_tasks
from hiu_tf.training.folder import load_run
from hiu_tf.training.run import train
from pipelines.build import finish, training_data, validation_data
from tests.tasks.visibility import SEEN, VISIBILITY

NAME = "tests.tasks.visibility:VISIBILITY"


@pytest.fixture(scope="module")
def trained(rendered_records, tmp_path_factory):
    """A run of the recipe shown in the documentation."""
    folder = tmp_path_factory.mktemp("own")
    recipe = {
        "model": "tiny",
        "network": {"tasks": [*(task.name for task in PAPER), NAME]},
        "data": {"synthetic": {"path": "synthetic"}},
        "train": {"steps": 4, "steps_per_epoch": 4, "batch_size": 4, "validate": ["synthetic"]},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    recipe = load_recipe(folder / "recipe.yaml")
    data = lambda start, worker, workers: training_data(recipe, rendered_records, 64, start, worker, workers)
    finished = partial(finish, recipe=recipe, size=64)
    validation = validation_data(recipe, rendered_records, 64)
    run = train(recipe, data, folder / "run", verbose=False, finish=finished, validation=validation)
    return run, folder


@pytest.mark.long
def test_it_is_trained_and_validated(trained):
    run, folder = trained
    assert run.tasks[-1] is VISIBILITY
    assert tuple(run.network.output[-1]["seen_logits"].shape) == (None, 21)
    record = json.loads((folder / "run" / "log.jsonl").read_text().splitlines()[-1])
    assert record["visibility"] > 0
    assert 0 <= record["val_visibility_accuracy"] <= 1
    assert any("visibility" in name for name in record if name.startswith("gradient_norm/"))


@pytest.mark.long
def test_it_is_read_back_and_measured(trained, rendered_records):
    _, folder = trained
    run = load_run(folder / "run")
    found = evaluate_run(run, Part(str(rendered_records), ["synthetic"]))["synthetic"]
    assert 0 <= found["trained"]["visibility_accuracy"] <= 1
    assert "visibility_accuracy" not in found.get("mean", {})


@pytest.mark.long
def test_it_is_exported(trained, tmp_path):
    run, _ = trained
    export(run, tmp_path, ["float32"])
    crop = np.random.default_rng(1).random((1, 64, 64, 3), np.float32)
    answers = []
    for path in (tmp_path, tmp_path / "tiny_float32.tflite"):
        network, card, _ = load_network(path)
        assert card["outputs"][SEEN] == "[B, 21] probability that a joint is seen, 0..1"
        answers.append(network(crop)[SEEN])
    expected = run.network(crop)[-1]["seen_logits"].numpy()
    np.testing.assert_allclose(answers[0], 1 / (1 + np.exp(-expected)), atol=1e-5)
    np.testing.assert_allclose(answers[1], answers[0], atol=1e-4)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["heat"], "there is no task 'heat'"),
        (["heatmaps", "heatmaps"], "names a task twice"),
        (["nowhere.at.all:X"], "cannot be imported"),
        (["tests.tasks.visibility:SEEN"], "is a str, expected"),
    ],
)
def test_what_is_no_task_is_named(names, words):
    with pytest.raises(ConfigError, match=words):
        find_tasks(names)
