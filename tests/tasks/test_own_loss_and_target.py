"""A new loss needs one function and one line; so does a new kind of exported file (docs/architecture.md)."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from hiu_tf.config.presets import model_config
from hiu_tf.config.schema import LossConfig, TrainConfig
from hiu_tf.conventions import keys
from hiu_tf.errors import UserError
from hiu_tf.exporting.run import export
from hiu_tf.exporting.targets import TARGETS
from hiu_tf.tasks import find_tasks
from hiu_tf.training.folder import Run
from hiu_tf.training.trainer import HIUTrainer
from pipelines.build import evaluation_data
from pipelines.targets import targets
from tests.tasks.weights_file import NPZ

WITH_TIPS = ("heatmaps", "mask", "pof", "tests.tasks.tips:HAND_WITH_TIPS")


def test_an_own_loss_pulls_and_can_be_weighed(tiny_network, hand, rendered_records):
    batch = next(iter(evaluation_data(rendered_records / "synthetic", "val", 64, 4)))
    batch[keys.SSL_WEIGHT] = tf.ones([4])
    tasks = find_tasks(WITH_TIPS)
    labels = targets(batch, 64, tasks=tasks)
    trainer = HIUTrainer(tiny_network, hand, LossConfig({"tips": 2.0}), TrainConfig(), tasks=tasks)
    assert trainer.loss_weights["tips"] == 2.0
    stack = trainer.predictions(batch[keys.IMAGE], training=False)[-1]
    error = trainer.losses_by_name["tips"].error(labels, stack).numpy()
    tips = [4, 8, 12, 16, 20]
    apart = stack[keys.JOINTS_2D_PROJECTED].numpy()[:, tips] - labels[keys.JOINTS_2D].numpy()[:, tips]
    np.testing.assert_allclose(error, np.linalg.norm(apart, axis=-1) / 64, rtol=1e-4)
    without = LossConfig({"tips": 0.0})
    assert "tips" not in HIUTrainer(tiny_network, hand, without, TrainConfig(), tasks=tasks).loss_weights


@pytest.mark.long
def test_an_own_kind_of_file_is_written_and_held_against_the_network(
    tiny_network, hand, rendered_records, tmp_path, monkeypatch
):
    examples = lambda split, count: evaluation_data(rendered_records / "synthetic", split, 64, 4).as_numpy_iterator()
    run = Run(tiny_network, "tiny", model_config("tiny"), hand)
    monkeypatch.setitem(TARGETS, "npz", NPZ)
    paths = export(run, tmp_path, ["npz"], examples)
    assert [path.name for path in paths] == ["1", "tiny.npz"]
    assert "| npz | 6 |" in (tmp_path / "card.md").read_text()

    def spoil(module, folder, card, options):
        path = NPZ.write(module, folder, card, options)
        np.savez(path, *(1.1 * variable.numpy() for variable in module.weights))
        return path

    monkeypatch.setitem(TARGETS, "npz", NPZ._replace(write=spoil))
    with pytest.raises(UserError, match="differs too much from the network: npz"):
        export(run, tmp_path, ["npz"], examples)


@pytest.mark.parametrize("name", ["visibility", "tips", "weights_file"])
def test_the_documentation_shows_what_is_tested(name):
    root = Path(__file__).parents[2]
    blocks = (root / "docs" / "architecture.md").read_text().split("```python\n")[1:]
    shown = [block.split("```")[0].strip() for block in blocks]
    code = (root / "tests" / "tasks" / f"{name}.py").read_text()
    assert any(block in code for block in shown)
