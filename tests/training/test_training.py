import dataclasses
import json
import subprocess
from functools import partial

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from hiu_tf.config.presets import model_config
from hiu_tf.config.schema import DataConfig, LossConfig, Recipe, TrainConfig
from hiu_tf.conventions import keys
from hiu_tf.errors import ConfigError, UserError
from hiu_tf.losses.total import sample_weights
from hiu_tf.models.hiu import build_hiu
from hiu_tf.training import journal
from hiu_tf.training import run as run_module
from hiu_tf.training.bad_batch import FOLDER as BAD_BATCHES
from hiu_tf.training.bad_batch import report_bad_batch, where_it_began
from hiu_tf.training.checkpoints import SaveState
from hiu_tf.training.folder import RECIPE, WEIGHTS, load_run
from hiu_tf.training.journal import CSV_LOG, STARTS, Journal, note_start, read_journal
from hiu_tf.training.optimizer import build_optimizer
from hiu_tf.training.report import REPORT
from hiu_tf.training.run import train
from hiu_tf.training.schedules import learning_rate
from hiu_tf.training.trainer import HIUTrainer
from hiu_tf.training.validation import BEST, BEST_WEIGHTS
from pipelines.build import finish, finished_data, training_data, validation_data


@pytest.fixture
def report():
    """For tests of runs whose report is written."""


@pytest.fixture(autouse=True)
def _no_other_report(request, monkeypatch):
    """Drawing the report takes a fifth of a small run."""
    if "report" not in request.fixturenames:
        monkeypatch.setattr(run_module, "_try_report", lambda *_: None)


def recipe(steps, loss=None, **settings):
    basis = {"steps": steps, "steps_per_epoch": 2, "batch_size": 4, "shuffle": 4}
    return Recipe(
        model="tiny",
        data={"synthetic": DataConfig(path="synthetic")},
        loss=loss or LossConfig({"joints_3d": 10.0}, ssl_warmup_steps=2),
        train=TrainConfig(**basis | settings),
    )


def small(steps, **settings):
    """A recipe for tests of what surrounds the network: with heat maps alone, it is built and traced in a third of the time."""
    made = recipe(steps, LossConfig({"heatmaps": 100.0}), **settings)
    return dataclasses.replace(made, network={"tasks": ["heatmaps"]})


def run(made, root, folder, **options):
    """Trains a recipe in the same way as hiu train."""

    def data(start, worker=0, workers=1):
        return training_data(made, root, 64, start, worker, workers)

    validation = validation_data(made, root, 64)
    finished = partial(finish, recipe=made, size=64)
    return train(made, data, folder, verbose=False, finish=finished, validation=validation, **options)


def trainer_of(hand, losses=None, synchronized=False, **settings):
    """A trainer of the tiny network with synchronised batch norm, or with batch norm in inference mode.

    Otherwise parts of a batch would have different statistics.
    """
    keras.utils.set_random_seed(1)
    network = build_hiu(model_config("tiny", {"batch_norm_synchronized": synchronized}))
    for layer in network._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization) and not synchronized:
            layer.trainable = False
    return HIUTrainer(network, hand, losses or LossConfig({"joints_3d": 10.0}), TrainConfig(clip_norm=1e9, **settings))


def losses(folder):
    return [record["loss"] for record in read_journal(folder)]


def test_train_and_load(rendered_records, tmp_path, monkeypatch, report):
    traced, step = [], HIUTrainer.train_step
    monkeypatch.setattr(HIUTrainer, "train_step", lambda self, data: traced.append(1) or step(self, data))
    network = run(recipe(4), rendered_records, tmp_path).network
    assert len(traced) == 1, "the step is traced once: its variables existed before"
    assert len(losses(tmp_path)) == 2 and np.isfinite(losses(tmp_path)).all()
    again, preset, config, _ = load_run(tmp_path)
    assert (preset, config) == ("tiny", model_config("tiny"))
    image = tf.random.stateless_uniform([1, 64, 64, 3], [1, 2])
    np.testing.assert_allclose(again(image)[-1]["pose"], network(image)[-1]["pose"], atol=1e-6)
    assert list((tmp_path / "tensorboard").rglob("events*"))
    assert json.loads((tmp_path / RECIPE).read_text())["train"]["steps"] == 4
    assert json.loads((tmp_path / STARTS).read_text())[0]["packages"]["tensorflow"] == tf.__version__
    assert (tmp_path / CSV_LOG).read_text().count("\n") == 3
    assert "data:image/png;base64," in (tmp_path / REPORT).read_text()
    assert not list(tmp_path.glob("partial-*"))


@pytest.mark.long
def test_a_second_call_goes_on_where_the_first_stopped(rendered_records, tmp_path):
    run(recipe(4), rendered_records, tmp_path)
    first = losses(tmp_path)
    network = run(recipe(6), rendered_records, tmp_path).network
    assert losses(tmp_path)[:2] == first and len(losses(tmp_path)) == 3 and np.isfinite(losses(tmp_path)).all()
    image = tf.random.stateless_uniform([1, 64, 64, 3], [1, 2])
    again = load_run(tmp_path).network
    np.testing.assert_allclose(again(image)[-1]["pose"], network(image)[-1]["pose"], atol=1e-6)
    assert json.loads((tmp_path / RECIPE).read_text())["train"]["steps"] == 6
    assert [start["step"] for start in json.loads((tmp_path / STARTS).read_text())] == [0, 4]
    assert (tmp_path / CSV_LOG).read_text().count("\n") == 4
    assert not list(tmp_path.glob("partial-*"))


def test_a_run_of_another_network_is_left_alone(rendered_records, tmp_path):
    (tmp_path / RECIPE).write_text(json.dumps({"model": "hiu_small", "hand": "procedural"}))
    with pytest.raises(UserError, match="holds a run with model hiu_small, not tiny"):
        run(recipe(2), rendered_records, tmp_path)
    assert json.loads((tmp_path / RECIPE).read_text())["model"] == "hiu_small"


@pytest.mark.long
@pytest.mark.parametrize("on_nan", ("stop", "skip"))
def test_a_loss_that_is_not_finite(on_nan, rendered_records, tmp_path):
    """The run stops without saving, or skips the step; both report batch, sample and label."""
    made = small(4, on_nan=on_nan)

    def data(start, worker=0, workers=1):
        spoil = tf.constant([1.0, np.nan, 1.0, 1.0])[:, None, None, None]
        batches = finished_data(made, rendered_records, 64, start=start).enumerate()
        return batches.map(
            lambda n, batch: (batch[0] * (spoil if on_nan == "stop" else tf.where(n == 1, spoil, 1.0)), batch[1])
        )

    if on_nan == "stop":
        with pytest.raises(UserError, match=r"diverged at step 0, where image of synthetic \d+ is not finite"):
            train(made, data, tmp_path, verbose=False)
        assert not (tmp_path / WEIGHTS).exists()
        assert not list(tmp_path.glob("checkpoints/ckpt*"))
    else:
        network = train(made, data, tmp_path, verbose=False).network
        assert all(np.isfinite(variable).all() for variable in network.trainable_variables)
        records = read_journal(tmp_path)
        assert [record["skipped_steps"] for record in records] == [1.0, 0.0]
        assert np.isfinite([record["loss"] for record in records]).all()
        assert all(record["gradient_norm/stack1_encoder"] > 0 for record in records)
    report = json.loads(sorted((tmp_path / BAD_BATCHES).glob("*.json"))[0].read_text())
    assert report["step"] == (0 if on_nan == "stop" else 1)
    assert "stem" in report["gradients_not_finite"]
    wrong = [sample["place"] for sample in report["samples"] if "image" in sample["inputs_not_finite"]]
    assert wrong == [1]
    assert report["samples"][1]["set"] == "synthetic"
    assert report["samples"][1]["sample_id"].isdecimal()
    assert len(list((tmp_path / BAD_BATCHES).glob("*.png"))) >= 1


def test_a_gradient_that_overflows_is_placed(tmp_path):
    """All losses are finite, but a gradient is not: the message names the parts of the network."""
    targets = {keys.SSL_WEIGHT: np.ones(1)}
    norms = {"stem": np.float32(np.inf), "stack1_encoder": np.float32(3)}
    report_bad_batch(tmp_path, ("all",), 7, np.zeros((1, 8, 8, 3)), targets, {"mask": np.ones((1, 1))}, norms)
    assert where_it_began(tmp_path) == " at step 7, where all losses are finite and the gradients of stem overflow"
    report_bad_batch(tmp_path, ("all",), 8, np.zeros((1, 8, 8, 3)), targets, {"mask": np.full((1, 1), np.nan)}, norms)
    assert where_it_began(tmp_path) == " at step 8, where mask is not finite"
    spoilt = {keys.SSL_WEIGHT: np.full(1, np.nan)}
    report_bad_batch(tmp_path, ("all",), 9, np.zeros((1, 8, 8, 3)), spoilt, {"mask": np.ones((1, 1))}, norms)
    assert where_it_began(tmp_path) == f" at step 9, where {keys.SSL_WEIGHT} of sample 0 is not finite"


def test_unfinished_run_is_refused(tmp_path):
    with pytest.raises(UserError, match="no finished run"):
        load_run(tmp_path)


@pytest.mark.slow
def test_mixed_precision(rendered_records, hand, tmp_path):
    """Convolutions in float16 with scaled losses; hand, mask and losses in float32; the saved network is float32."""
    made = recipe(2, precision="mixed_float16", accumulate=2, steps_per_execution=2)
    network = run(made, rendered_records, tmp_path).network
    assert "float16" in {layer.compute_dtype for layer in network.layers}
    assert keras.mixed_precision.global_policy().name == "float32"
    assert np.isfinite(losses(tmp_path)).all()
    trainer = HIUTrainer(network, hand, LossConfig(), TrainConfig())
    image, targets = next(iter(finished_data(made, rendered_records, 64)))
    stacks = trainer.predictions(image, training=True)
    assert stacks[0][keys.RENDERED_MASK].dtype == stacks[0][keys.VERTICES].dtype == tf.float32
    assert {layer.compute_dtype for layer in load_run(tmp_path).network.layers} == {"float32"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "precision, difference", [("float32", 2e-3), ("mixed_bfloat16", 3e-2), ("mixed_float16", 1e-2)]
)
def test_xla_trains_as_well(rendered_records, tmp_path, precision, difference):
    """The same losses, step by step, with the network compiled by XLA."""
    plain, compiled = tmp_path / "plain", tmp_path / "xla"
    for folder, xla in ((plain, False), (compiled, True)):
        made = recipe(6, xla=xla, optimizer="sgdw", learning_rate=1e-4, precision=precision)
        run(made, rendered_records, folder)
    assert len(losses(plain)) == 3
    np.testing.assert_allclose(losses(compiled), losses(plain), rtol=difference)


def test_schedules():
    poly = learning_rate(TrainConfig(steps=100, learning_rate=1e-3))
    warm = learning_rate(TrainConfig(steps=100, learning_rate=1e-3, schedule="cosine", warmup_steps=20))
    for step in (0, 30, 99):
        assert float(poly(step)) == pytest.approx(1e-3 * (1 - step / 100) ** 0.9, rel=1e-5)
    assert float(warm(0)) == pytest.approx(1e-3 / 20)
    assert float(warm(60)) == pytest.approx(1e-3 * 0.5 * (1 + np.cos(np.pi * 40 / 80)), rel=1e-5)
    assert float(warm(100)) == pytest.approx(0, abs=1e-9)


@pytest.mark.long
def test_parts_of_a_batch_give_the_gradient_of_the_whole(rendered_records, hand):
    """All labels are in the first part."""
    image, targets = next(iter(finished_data(recipe(1), rendered_records, 64)))
    targets[keys.MASK_WEIGHT] = tf.constant([1.0, 0, 0, 0])
    targets[keys.JOINTS_3D_WEIGHT] *= [[1.0], [1], [0], [0]]
    found = []
    for parts in (1, 2, 4):
        trainer = trainer_of(hand, batch_size=4, accumulate=parts)
        trainer.compile(keras.optimizers.legacy.SGD(0.1))
        totals = trainer._totals(sample_weights(trainer.losses_by_name, targets))
        gradients, errors, loss = trainer._accumulated(image, targets, totals)  # once: sooner done than traced
        found.append((float(loss), np.concatenate([np.ravel(g) for g in gradients]), errors["mask"].numpy()))
    for loss, gradient, errors in found[1:]:
        assert loss == pytest.approx(found[0][0], rel=1e-5)
        assert np.linalg.norm(gradient - found[0][1]) < 1e-4 * np.linalg.norm(found[0][1])
        np.testing.assert_allclose(errors, found[0][2], rtol=1e-4)


@pytest.mark.long
def test_a_run_tells_what_happens(rendered_records, tmp_path):
    """Losses by set and stack, label counts, rates; validation keeps the best averaged weights."""
    sets = {"a": DataConfig(path="synthetic"), "b": DataConfig(path="synthetic", mask=0.0)}
    dense = {"stacks": 2, "tasks": ["heatmaps", "mask"]}
    made = recipe(6, LossConfig(), validate=("a",), ema=0.5, freeze=("stem",), recalibrate=1)
    network = run(dataclasses.replace(made, data=sets, network=dense), rendered_records, tmp_path).network
    assert not network.get_layer("stem1_conv").trainable
    records = read_journal(tmp_path)
    values = [record["val_joints_2d_auc"] for record in records]
    best = json.loads((tmp_path / BEST).read_text())
    assert best["value"] == pytest.approx(max(values))
    assert best["step"] == 2 * (1 + int(np.argmax(values)))
    other = build_hiu(model_config("tiny", dense))
    other.load_weights(str(tmp_path / BEST_WEIGHTS))
    for found, expected in zip(load_run(tmp_path, best=True).network.get_weights(), other.get_weights()):
        np.testing.assert_array_equal(found, expected)
    (tmp_path / BEST_WEIGHTS).unlink()
    with pytest.raises(UserError, match="has no best.weights.h5"):
        load_run(tmp_path, best=True)
    record = records[0]
    assert record["labels/heatmaps/a"] + record["labels/heatmaps/b"] == 8
    assert record["labels/mask/b"] == 0
    assert record["heatmaps"] == pytest.approx((record["heatmaps/stack 1"] + record["heatmaps/stack 2"]) / 2, rel=1e-5)
    parts = [record[f"heatmaps/{name}"] for name in ("a", "b")]
    assert min(parts) <= record["heatmaps"] <= max(parts)
    assert 0 <= record["input_wait_share"] < 1
    assert record["images_per_second"] > 0


def test_a_run_that_goes_on_forgets_what_came_after(tmp_path):
    journal = Journal(tmp_path, 0)
    for step in (2, 4, 6):
        journal.add({"step": step, "loss": 1.0})
    assert [record["step"] for record in Journal(tmp_path, 4).records] == [2, 4]


@pytest.mark.long
def test_steps_that_are_no_whole_epochs(rendered_records, tmp_path, capsys):
    """Exactly the recipe's number of steps, also after a restart; a finished run stays unchanged."""
    run(small(3, ema=0.5, recalibrate=1), rendered_records, tmp_path)
    assert [record["step"] for record in read_journal(tmp_path)] == [2, 3]
    network = run(small(6, ema=0.5, recalibrate=1), rendered_records, tmp_path).network
    assert [record["step"] for record in read_journal(tmp_path)] == [2, 3, 4, 6]
    assert "goes on with other settings than before: train.steps 3 -> 6" in capsys.readouterr().out
    written = (tmp_path / WEIGHTS).read_bytes()
    again = run(small(6, ema=0.5, recalibrate=1), rendered_records, tmp_path).network
    assert (tmp_path / WEIGHTS).read_bytes() == written
    for one, other in zip(network.get_weights(), again.get_weights()):
        np.testing.assert_array_equal(one, other)


def test_settings_that_contradict_each_other_are_refused():
    with pytest.raises(ConfigError, match="accumulate must be a divisor of the batch 4, got 3"):
        recipe(2, accumulate=3)
    with pytest.raises(ConfigError, match="recalibrate must be 0 where train.freeze has batch_norm, got 5"):
        recipe(2, recalibrate=5, freeze=("batch_norm",))


@pytest.mark.long
def test_which_epochs_are_validated_does_not_depend_on_interruptions(rendered_records, tmp_path):
    """Every second epoch and the last one, in spite of an interruption after the third."""
    made = small(10, validate=("synthetic",), validate_every=2)

    class Stop(SaveState):
        def on_epoch_end(self, epoch, logs=None):
            super().on_epoch_end(epoch, logs)
            if epoch == 2:
                raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_module, "SaveState", Stop)
        with pytest.raises(KeyboardInterrupt):
            run(made, rendered_records, tmp_path)
    run(made, rendered_records, tmp_path)
    assert [record["step"] for record in read_journal(tmp_path) if "val_loss" in record] == [4, 8, 10]


@pytest.mark.long
def test_another_metric_starts_with_no_best(rendered_records, tmp_path):
    """A best value of one metric is not compared with another metric: a loss of 9 with an area of .1."""
    made = {"validate": ("synthetic",), "best": "joints_2d_auc"}
    run(small(2, **made), rendered_records, tmp_path)
    made["best"] = "loss"
    run(small(4, **made), rendered_records, tmp_path)
    best, last = json.loads((tmp_path / BEST).read_text()), read_journal(tmp_path)[-1]
    assert best == {"metric": "loss", "sets": ["synthetic"], "value": pytest.approx(last["val_loss"]), "step": 4}


@pytest.mark.long
def test_validation_does_not_warm_up(rendered_records, hand):
    """The validation loss of a network does not depend on the step of self-supervision's warm-up."""
    data = validation_data(recipe(1, validate=("synthetic",)), rendered_records, 64)
    trainer = trainer_of(hand, LossConfig(ssl_warmup_steps=100))
    trainer.compile(keras.optimizers.legacy.SGD(0.1), run_eagerly=True)
    found = []
    for step in (0, 50, 100):
        trainer.optimizer.iterations.assign(step)
        found.append(trainer.evaluate(data, verbose=0, return_dict=True)["loss"])
    assert found[0] == pytest.approx(found[1], rel=1e-6) == pytest.approx(found[2], rel=1e-6)


@pytest.mark.long
def test_a_skipped_step_leaves_everything_as_it_was(rendered_records, hand):
    """Labels that are not finite affect only the gradient, but batch norm statistics must be restored, too."""
    made = recipe(1)
    image, targets = next(iter(finished_data(made, rendered_records, 64)))
    trainer = trainer_of(hand, synchronized=True, on_nan="skip")
    trainer.compile(build_optimizer(TrainConfig(on_nan="skip")))
    before = trainer.network.get_weights()
    trainer.train_on_batch(image, targets | {keys.JOINTS_2D: targets[keys.JOINTS_2D] * np.nan})
    for one, other in zip(trainer.network.get_weights(), before):
        np.testing.assert_array_equal(one, other)
    trainer.train_on_batch(image, targets)
    assert any((one != other).any() for one, other in zip(trainer.network.get_weights(), before))


def test_a_start_notes_no_commit_of_another_repository(tmp_path, monkeypatch):
    """The package may be installed inside another repository, whose commit must not be noted."""
    place = tmp_path / "theirs" / "env" / "hiu_tf" / "training"
    place.mkdir(parents=True)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(tmp_path / "theirs")]
    for words in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run([*git, *words], check=True)
    monkeypatch.setattr(journal, "__file__", str(place / "journal.py"))
    note_start(tmp_path, 0)
    assert json.loads((tmp_path / STARTS).read_text())[0]["git_commit"] is None
    monkeypatch.setattr(journal, "__file__", str(tmp_path / "theirs" / "hiu_tf" / "training" / "journal.py"))
    note_start(tmp_path, 0)
    assert len(json.loads((tmp_path / STARTS).read_text())[1]["git_commit"]) == 40
