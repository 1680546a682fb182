"""A real tf.data service: a dispatcher and two workers in separate processes, on loopback."""

import dataclasses
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from hiu_tf.config.schema import DataConfig, Recipe, TrainConfig
from hiu_tf.conventions import keys
from hiu_tf.programs import input_service
from pipelines.build import finished_data


@pytest.fixture
def launch():
    processes = []

    def start(*arguments):
        command = [sys.executable, "-m", "hiu_tf.programs.input_service", *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        processes.append(process)
        return process.stdout.readline().split()[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()
        process.stdout.close()


def test_ctrl_c_ends_it():
    """TensorFlow waits outside of Python; a worker waits for a dispatcher that is not there."""
    for arguments, words in (
        (["dispatcher"], "dispatcher at"),
        (["worker", "--dispatcher", "localhost:9"], "waiting for"),
    ):
        command = [sys.executable, "-m", "hiu_tf.programs.input_service", *arguments]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=_hear_ctrl_c
        )
        while words not in (line := process.stdout.readline()):
            assert line, "it ended before"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        assert process.returncode == -signal.SIGINT


def _hear_ctrl_c():
    """A background job's children would ignore it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["dispatcher", "--port", "99999"], "takes a port from 0 \\(any free one\\) to 65535, got '99999'"),
        (["worker", "--dispatcher", "localhost"], "takes HOST:PORT, got 'localhost'"),
        (["worker", "--dispatcher", "grpc://:5"], "takes HOST:PORT, got"),
        (["worker"], "a worker needs --dispatcher"),
    ],
)
def test_addresses_that_cannot_be(arguments, words, capsys):
    with pytest.raises(SystemExit):
        input_service.main(arguments)
    assert re.search(words, capsys.readouterr().err)


@pytest.mark.long
def test_batches_come_from_two_workers(launch, rendered_records):
    tf.random.set_seed(3)  # as training does: it must not reach the workers
    dispatcher = launch("dispatcher")
    workers = [launch("worker", "--dispatcher", dispatcher) for _ in range(2)]
    assert len(set(workers)) == 2
    train = TrainConfig(batch_size=4, shuffle=12, input_service=dispatcher)
    recipe = Recipe(model="tiny", data={"synthetic": DataConfig(path="synthetic")}, train=train)
    batches = list(finished_data(recipe, rendered_records, 64).take(6).as_numpy_iterator())
    for image, targets in batches:
        assert image.shape == (4, 64, 64, 3)
        assert targets[keys.HEATMAPS].shape == (4, 32, 32, 21)
    assert len({image.tobytes() for image, _ in batches}) == 6  # no batch twice
    here = dataclasses.replace(recipe, train=dataclasses.replace(train, input_service=""))
    local = list(finished_data(here, rendered_records, 64).take(6).as_numpy_iterator())
    # The same samples in another order: twice each. Single batches of four differ by more than their half.
    means = [np.mean([image for image, _ in found]) for found in (batches, local)]
    assert means[0] == pytest.approx(means[1], abs=0.15)
