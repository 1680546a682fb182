"""Nothing is lost in interruptions: a killed run, a full disk, a missing shard, a lost worker."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from hiu_tf.training.checkpoints import FOLDER as CHECKPOINTS
from hiu_tf.training.journal import JSON_LOG, STARTS, read_journal
from tests.places import quickstart

STEPS, EPOCH = 12, 2


def command(root, out, *settings, program="hiu_tf.programs.train"):
    network = ["model=tiny", "network.tasks=[heatmaps,mask]"]  # sooner traced than all tasks
    chosen = [*network, f"train.steps={STEPS}", f"train.steps_per_epoch={EPOCH}", "train.batch_size=4", *settings]
    return [sys.executable, "-m", program, *quickstart(root, out, *chosen)]


def train(root, out, *settings, **options):
    return subprocess.run(command(root, out, *settings), capture_output=True, text=True, check=False, **options)


def weights(folder):
    from hiu_tf.training.folder import load_run

    return np.concatenate([np.ravel(weight) for weight in load_run(folder).network.get_weights()])


def kill_when(process, folder, steps, rng):
    """Kills a run (SIGKILL) at a random moment after `steps` recorded steps. Returns whether it was still running."""
    while process.poll() is None:
        if len(read_journal(folder)) * EPOCH >= steps:
            time.sleep(rng.uniform(0, 0.6))
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.02)
    return process.wait() == -signal.SIGKILL


def check_killed(root, tmp_path, moments, settings):
    """Checks that a killed and resumed run ends with the same records and weights as an uninterrupted one."""
    assert train(root, tmp_path / "whole", *settings).returncode == 0
    rng, kills = random.Random(4), 0
    for moment in moments:
        process = subprocess.Popen(
            command(root, tmp_path / "killed", *settings), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        kills += kill_when(process, tmp_path / "killed", moment, rng)
    assert kills == len(moments)
    assert train(root, tmp_path / "killed", *settings).returncode == 0
    starts = [start["step"] for start in json.loads((tmp_path / "killed" / STARTS).read_text())]
    assert len(starts) == len(moments) + 1
    assert starts == sorted(starts)
    assert starts[-1] > 0
    whole, killed = (read_journal(tmp_path / name) for name in ("whole", "killed"))
    assert [record["step"] for record in killed] == [record["step"] for record in whole]
    for a, b in zip(whole, killed):
        for name in ("loss", "heatmaps", "gradient_norm", "learning_rate", "labels/mask/synthetic"):
            assert b[name] == pytest.approx(a[name], rel=2e-3), (a["step"], name)
        assert ("val_loss" in a) == ("val_loss" in b)
    a, b = weights(tmp_path / "whole"), weights(tmp_path / "killed")
    assert np.linalg.norm(a - b) < 2e-3 * np.linalg.norm(a)
    assert not list((tmp_path / "killed").glob("partial-*.h5"))


@pytest.mark.slow
def test_a_killed_run_goes_on(rendered_records, tmp_path):
    """One kill; EMA, warm-ups (also of self-supervision) and schedule resume too (tolerance 0.2% of each value: threads sum
    in any order)."""
    everything = ["network.tasks=[heatmaps,mask,pof,hand]", "loss.ssl_warmup_steps=10"]
    check_killed(rendered_records, tmp_path, [4], [*everything, "train.ema=0.9", "train.warmup_steps=6"])


@pytest.mark.slow
def test_a_run_killed_many_times_goes_on(rendered_records, tmp_path):
    settings = [
        "train.ema=0",
        "train.swa_every=2",
        "train.precision=mixed_float16",
        "train.accumulate=2",
        "train.validate=[synthetic]",
        "train.validate_every=2",
    ]
    check_killed(rendered_records, tmp_path, [2, 4, 8], settings)


@pytest.mark.long
def test_a_full_disk_is_one_line_and_loses_nothing(rendered_records, tmp_path):
    """Files are limited to 100 kB: the checkpoint cannot be written, the journal can."""
    limited = "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); " + (
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)); import runpy; sys.argv = sys.argv[1:]; "
        "runpy.run_module('hiu_tf.programs.train', run_name='__main__', alter_sys=False)"
    )
    arguments = command(rendered_records, tmp_path / "run")[3:]
    result = subprocess.run(
        [sys.executable, "-c", limited, "hiu_tf.programs.train", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert "error: the disk is full" in result.stderr
    assert "Traceback" not in result.stderr
    assert (tmp_path / "run" / JSON_LOG).exists()
    assert not list((tmp_path / "run" / CHECKPOINTS).glob("*.index"))


@pytest.mark.long
@pytest.mark.parametrize("damage", ("missing", "cut"))
def test_damaged_records_are_named(damage, rendered_records, tmp_path):
    shutil.copytree(rendered_records, tmp_path / "data")
    shard = next((tmp_path / "data" / "synthetic").glob("train-*.tfrecord"))
    if damage == "missing":
        shard.unlink()
    else:
        os.truncate(shard, shard.stat().st_size // 2)
    result = train(tmp_path / "data", tmp_path / "run")
    assert result.returncode == 1
    assert "error: " in result.stderr
    assert shard.name in result.stderr
    assert "Traceback" not in result.stderr


@pytest.fixture(scope="module")
def two_shards(tmp_path_factory):
    from pipelines.datasets import open_split
    from pipelines.records import write_index, write_shard

    root = tmp_path_factory.mktemp("shards")
    (root / "synthetic").mkdir()
    notes = {}
    for part in range(2):
        name = f"train-{part:05d}-of-00002.tfrecord"
        notes[name] = write_shard(root / "synthetic" / name, open_split("synthetic", "8", "train").outcomes(part, 2))
    write_index(root / "synthetic", "synthetic", "train", notes)
    return root


def launch(root, out, *settings):
    arguments = command(root, out, *settings)[3:]
    return [sys.executable, "-m", "hiu_tf.programs.launch", "--workers", "2", "--restarts", "1", "--", *arguments]


@pytest.mark.long
def test_two_workers_on_loopback(two_shards, tmp_path):
    """Their gradients are summed; only the files of the first worker are kept."""
    result = subprocess.run(
        launch(two_shards, tmp_path / "run", "train.steps=4"), capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr[-2000:]
    assert "on 2 device(s)" in result.stdout
    records = read_journal(tmp_path / "run")
    assert [record["step"] for record in records] == [2, 4]
    assert records[0]["labels/heatmaps/synthetic"] == 2 * 4, "the label counts of both"
    assert np.isfinite(weights(tmp_path / "run")).all()


@pytest.mark.slow
def test_a_worker_that_dies_is_no_loss(two_shards, tmp_path):
    process = subprocess.Popen(
        launch(two_shards, tmp_path / "run"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    while len(read_journal(tmp_path / "run")) < 2 and process.poll() is None:
        time.sleep(0.05)
    children = subprocess.run(
        ["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True
    ).stdout.split()
    os.kill(int(children[-1]), signal.SIGKILL)
    output = process.communicate(timeout=500)[0]
    assert process.returncode == 0, output[-2000:]
    assert "starting all again (1 of 1)" in output
    assert [record["step"] for record in read_journal(tmp_path / "run")] == list(range(EPOCH, STEPS + 1, EPOCH))
