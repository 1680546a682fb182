"""What becomes of finished runs: one that starts from it, one that goes on, one with other settings, a stage."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from hiu_tf.errors import UserError
from hiu_tf.training import run as run_module
from hiu_tf.training.folder import BEST, BEST_WEIGHTS, RECIPE, WEIGHTS, adopt, load_run
from hiu_tf.training.report import REPORT
from hiu_tf.training.run import train
from tests.training.test_training import _no_other_report, run, small  # noqa: F401  (a fixture for every test)


@pytest.fixture(scope="module")
def trained(rendered_records, tmp_path_factory):
    """A finished run of small(2), which no test changes."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_module, "_try_report", lambda *_: None)
        run(small(2), rendered_records, folder)
    return folder


@pytest.fixture
def finished(trained, tmp_path):
    """A copy of a finished run of small(2)."""
    return Path(shutil.copytree(trained, tmp_path / "finished"))


@pytest.mark.long
def test_a_run_can_start_from_the_weights_of_another(rendered_records, trained, tmp_path):
    first = load_run(trained).network.get_weights()
    still = {"start_from": str(trained), "learning_rate": 1e-12}
    second = run(small(2, **still), rendered_records, tmp_path / "second").network
    learned = {variable.name for variable in second.trainable_variables}
    for variable, before in zip(second.weights, first):
        if variable.name in learned:
            np.testing.assert_allclose(variable, before, atol=1e-6)
    with pytest.raises(UserError, match="is no finished run"):
        run(small(2, start_from=str(tmp_path)), rendered_records, tmp_path / "third")


@pytest.mark.long
def test_a_run_that_goes_on_has_no_result_until_it_ends(rendered_records, finished):
    def broken(start, worker=0, workers=1):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(small(4), broken, finished, verbose=False)
    with pytest.raises(UserError, match="no finished run"):
        load_run(finished)
    run(small(4), rendered_records, finished)
    assert load_run(finished).preset == "tiny"


@pytest.mark.long
def test_the_recipe_of_a_finished_run_is_the_one_it_was_made_by(rendered_records, finished, capsys):
    before = (finished / RECIPE).read_text()
    run(small(2, learning_rate=5e-3), rendered_records, finished)
    assert (finished / RECIPE).read_text() == before
    assert "is finished; these settings were not used: train.learning_rate 0.001 -> 0.005" in capsys.readouterr().out


@pytest.mark.long
def test_the_best_weights_of_the_last_stage_are_those_of_the_run(finished, tmp_path):
    (tmp_path / "stage").mkdir()
    for path in (finished / RECIPE, finished / WEIGHTS):
        (tmp_path / "stage" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "stage" / BEST_WEIGHTS).write_bytes((finished / WEIGHTS).read_bytes())
    (tmp_path / "stage" / BEST).write_text('{"metric": "joints_2d_auc"}')
    (tmp_path / "run").mkdir()
    adopt(tmp_path / "stage", tmp_path / "run")
    assert (tmp_path / "run" / BEST).read_text() == '{"metric": "joints_2d_auc"}'
    assert load_run(tmp_path / "run", best=True).preset == "tiny"


@pytest.mark.long
def test_a_stage_without_report_is_finished_all_the_same(finished, tmp_path):
    assert not (finished / REPORT).exists()
    adopt(finished, tmp_path)
    assert load_run(tmp_path).preset == "tiny"
