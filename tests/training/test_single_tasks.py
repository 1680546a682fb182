"""Networks without some of the paper's tasks: built, trained, shown, reported, evaluated."""

import json

import cv2
import pytest

from hiu_tf.cli import main
from hiu_tf.config.presets import model_config
from hiu_tf.conventions import keys
from hiu_tf.errors import ConfigError
from hiu_tf.models.hiu import build_hiu
from hiu_tf.training.journal import read_journal
from hiu_tf.training.report import REPORT
from tests.places import quickstart
from tests.training.test_training import run, small


@pytest.mark.long
@pytest.mark.parametrize("task, metric", [("mask", "mask_iou"), ("heatmaps", "joints_2d_auc")])
def test_a_network_of_one_task(task, metric, rendered_records, tmp_path, capsys):
    """It is trained, validated, reported and evaluated, with the metrics of its task alone."""
    settings = [
        "model=tiny",
        f"network.tasks=[{task}]",
        "train.validate=[synthetic]",
        "train.best=loss",
        "train.steps=1",
    ]
    words = quickstart(rendered_records, tmp_path / "run", *settings, "train.batch_size=4")
    assert main(["train", *words]) == 0
    assert main(["train", *words, "--show", str(tmp_path / "batch.png"), "--set", "train.batch_size=16"]) == 0
    assert cv2.imread(str(tmp_path / "batch.png")).shape[1] == 3 * 64 * {"mask": 2, "heatmaps": 3}[task]
    assert f"val_{metric}" in read_journal(tmp_path / "run")[0]
    assert "could not be written" not in capsys.readouterr().err
    files = ["--json", str(tmp_path / "out.json"), "--html", str(tmp_path / "out.html")]
    assert main(["evaluate", "--run", str(tmp_path / "run"), "--data", str(rendered_records), *files]) == 0
    measured, *_ = json.loads((tmp_path / "out.json").read_text())["results"]["synthetic"].values()
    assert {"mask_iou", "joints_2d_auc", "mesh_root"} & set(measured) == {metric}
    for report in (tmp_path / "run" / REPORT, tmp_path / "out.html"):
        assert f"best by {metric}" in report.read_text()


def test_the_best_metric_must_be_one_of_the_tasks(rendered_records, tmp_path):
    made = small(1, validate=("synthetic",), best="mask_iou")
    with pytest.raises(
        ConfigError, match="train.best mask_iou is no metric of this network's tasks, which have loss, joints_2d_auc"
    ):
        run(made, rendered_records, tmp_path)


def test_the_regressor_alone_is_a_network():
    network = build_hiu(model_config("tiny", {"tasks": ["hand"], "fusion": "none"}))
    assert set(network.output[-1]) == {keys.SHAPE, keys.POSE, keys.ROTATION, keys.TRANSLATION}
