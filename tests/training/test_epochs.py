"""Which epochs a run has left, and how a run ends that is asked to."""

import json
import signal
import subprocess
import sys
from itertools import chain
from types import SimpleNamespace

import numpy as np
import pytest

from hiu_tf.config.schema import TrainConfig
from hiu_tf.errors import Interrupted
from hiu_tf.training.epochs import epochs_left, validated_epochs
from hiu_tf.training.interruption import EndWhenAsked, ended_when_asked
from hiu_tf.training.journal import STARTS, read_journal
from hiu_tf.training.monitor import EpochRecord
from tests.training.test_training import _no_other_report, run, small  # noqa: F401  (a fixture for every test)

STATE = SimpleNamespace(step=7, save=lambda: None)


@pytest.mark.parametrize("steps", (1, 6, 7, 12))
@pytest.mark.parametrize("length", (1, 3, 5))
def test_wherever_a_run_is_interrupted_its_epochs_end_at_the_same_steps(steps, length):
    settings = TrainConfig(steps=steps, steps_per_epoch=length)
    ends = {*range(length, steps + 1, length), steps}
    for done in range(steps + 1):
        left = epochs_left(done, settings)
        counts = list(chain(*([count] * len(epochs) for epochs, count in left)))
        numbers = list(chain(*(epochs for epochs, _ in left)))
        assert [done + sum(counts[: k + 1]) for k in range(len(counts))] == sorted(end for end in ends if end > done)
        assert numbers == [-(-end // length) - 1 for end in sorted(ends) if end > done]


def test_more_steps_than_the_run_has_are_none():
    assert epochs_left(9, TrainConfig(steps=4, steps_per_epoch=5)) == []


def test_validation_comes_at_the_same_epochs():
    settings = TrainConfig(steps=23, steps_per_epoch=5)
    whole = validated_epochs(epochs_left(0, settings), 2)
    assert whole == [2, 4, 5]
    assert validated_epochs(epochs_left(13, settings), 2) == whole


@pytest.fixture
def heard(request):
    """A signal with Python's own handler: a background job ignores SIGINT."""
    number = request.param
    before = signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    yield number
    signal.signal(number, before)


@pytest.mark.parametrize("heard", (signal.SIGINT, signal.SIGTERM), indirect=True)
def test_a_signal_is_heeded_after_the_step(heard, capsys):
    saved = []
    state = SimpleNamespace(step=7, save=lambda: saved.append(1))
    before = signal.getsignal(heard)
    with pytest.raises(Interrupted, match="after step 7 of 9") as ended, ended_when_asked(state, 9) as callback:
        callback.set_params({"steps": 3})
        callback.on_train_batch_end(0, {"loss": 1.0})
        signal.raise_signal(heard)
        assert not saved
        callback.on_train_batch_end(1, {"loss": 1.0})
    assert saved == [1]
    assert ended.value.exit_code == 128 + heard
    assert "the run is saved after this step" in capsys.readouterr().err
    assert signal.getsignal(heard) is before


def test_the_last_step_of_an_epoch_is_recorded_before_the_run_ends():
    callback = EndWhenAsked(STATE, 9)
    callback.set_params({"steps": 2})
    callback.ask(signal.SIGTERM)
    callback.on_train_batch_end(1, {"loss": 1.0})
    with pytest.raises(Interrupted):
        callback.on_epoch_end(0)


def test_a_step_that_is_not_finite_is_not_saved():
    state = SimpleNamespace(step=7, save=lambda: pytest.fail("saved"))
    callback = EndWhenAsked(state, 9)
    callback.set_params({"steps": 2})
    callback.ask(signal.SIGTERM)
    with pytest.raises(Interrupted):
        callback.on_train_batch_end(0, {"loss": float("nan")})


def test_a_second_signal_ends_at_once():
    program = (
        "import signal, hiu_tf; from hiu_tf.training.interruption import ended_when_asked\n"
        "with ended_when_asked(None, 9):\n    for _ in range(2): signal.raise_signal(signal.SIGTERM)\n    print('alive')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGTERM
    assert "alive" not in done.stdout


@pytest.mark.long
@pytest.mark.parametrize("at", (3, 4))
def test_a_run_that_is_asked_to_end_goes_on_where_it_was(at, rendered_records, tmp_path):
    """In an epoch's middle or at its end: the result is that of an uninterrupted run."""
    made, counted = small(6, steps_per_epoch=4, ema=0.5), EpochRecord.on_train_batch_end

    def ask(self, batch, logs=None):
        counted(self, batch, logs)
        if int(self.model.optimizer.iterations.numpy()) == at:
            signal.raise_signal(signal.SIGTERM)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EpochRecord, "on_train_batch_end", ask)
        with pytest.raises(Interrupted, match=f"after step {at} of 6"):
            run(made, rendered_records, tmp_path / "ended")
    ended = run(made, rendered_records, tmp_path / "ended").network
    whole = run(made, rendered_records, tmp_path / "whole").network
    assert [start["step"] for start in json.loads((tmp_path / "ended" / STARTS).read_text())] == [0, at]
    assert [record["step"] for record in read_journal(tmp_path / "ended")] == [4, 6]
    for one, other in zip(ended.get_weights(), whole.get_weights()):
        np.testing.assert_allclose(one, other, rtol=2e-3, atol=1e-5)
