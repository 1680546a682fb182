"""The program that writes records: interruptions, parallel work, bad data, and messages."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest

from hiu_tf.programs.prepare import main, prepare
from pipelines.records import RecordError, read_index
from tests.pipelines.datasets import formats


def checksums(folder):
    return json.loads((folder / "index.json").read_text())["splits"]["train"]["shards"]


@pytest.mark.slow
def test_killed_and_started_again_gives_the_same_and_keeps_finished_shards(tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    arguments = ["synthetic", "--source", "40", "--split", "train", "--shards", "5", "--workers", "1", "--out"]
    command = [sys.executable, "-m", "hiu_tf.programs.prepare", *arguments, str(cut)]
    process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.time() + 120
    while not list(cut.glob("*.json")) and time.time() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kept = {path: path.stat().st_mtime_ns for path in cut.glob("*.tfrecord") if path.with_suffix(".json").exists()}
    assert kept
    assert not (cut / "index.json").exists()
    assert main([*arguments, str(cut)]) == 0
    assert main([*arguments, str(whole)]) == 0
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert checksums(cut) == checksums(whole)
    assert sorted(p.name for p in cut.iterdir()) == sorted(p.name for p in whole.iterdir())  # no scratch is left


@pytest.mark.long
def test_more_processes_write_the_same(tmp_path, rng):
    formats.freihand(tmp_path / "source", rng)
    for workers in (1, 2):
        prepare("freihand", str(tmp_path / "source"), "train", str(tmp_path / str(workers)), 3, workers)
    assert checksums(tmp_path / "1") == checksums(tmp_path / "2")
    shards, counts = read_index(tmp_path / "1", "train")
    assert len(shards) == 3
    assert (counts["samples"], counts["joints_3d"], counts["mask"], counts["right"]) == (12, 12, 12, 12)


def break_pictures(source, count):
    for number in range(count):
        (source / "training" / "rgb" / f"{number:08d}.jpg").write_bytes(b"broken")


@pytest.mark.long
def test_few_broken_samples_are_listed_many_are_refused(tmp_path, rng, capsys):
    source, out = tmp_path / "source", tmp_path / "out"
    formats.freihand(source, rng)
    break_pictures(source, 3)
    with pytest.raises(
        RecordError, match=r"3 samples are broken, allowed are 2 \(--max-bad\)(.|\n)*00000000.jpg is no read"
    ):
        prepare("freihand", str(source), "train", str(out), 2, 1, max_bad=2)
    assert not (out / "index.json").exists()
    arguments = [
        "freihand",
        "--source",
        str(source),
        "--split",
        "train",
        "--out",
        str(out),
        "--shards",
        "2",
        "--max-bad",
        "3",
    ]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "9 samples" in printed
    assert "3 broken:" in printed
    assert "00000002.jpg is no readable picture" in printed
    assert len(json.loads((out / "index.json").read_text())["splits"]["train"]["skipped"]) == 3


@pytest.mark.long
def test_mended_pictures_are_read_again(tmp_path, rng):
    source, out = tmp_path / "source", tmp_path / "out"
    formats.freihand(source, rng)
    whole = (source / "training" / "rgb" / "00000000.jpg").read_bytes()
    break_pictures(source, 1)
    assert prepare("freihand", str(source), "train", str(out), 2, 1)["counts"]["samples"] == 11
    (source / "training" / "rgb" / "00000000.jpg").write_bytes(whole)
    assert prepare("freihand", str(source), "train", str(out), 2, 1)["counts"]["samples"] == 12


def test_records_of_another_set_are_not_overwritten(tmp_path, rng):
    formats.freihand(tmp_path / "a", rng)
    formats.stb(tmp_path / "b", rng, frames=1)
    prepare("freihand", str(tmp_path / "a"), "train", str(tmp_path / "out"), 2, 1)
    with pytest.raises(RecordError, match="holds records of freihand: give stb another --out"):
        prepare("stb", str(tmp_path / "b"), "train", str(tmp_path / "out"), 2, 1)
    read_index(tmp_path / "out", "train")


@pytest.mark.long
def test_interrupted_it_ends_at_once(tmp_path):
    command = [
        sys.executable,
        "-m",
        "hiu_tf.programs.prepare",
        "synthetic",
        "--source",
        "2000",
        "--split",
        "train",
        "--workers",
        "1",
    ]
    heard = lambda: signal.signal(signal.SIGINT, signal.default_int_handler)  # nohup and & leave it ignored
    process = subprocess.Popen(
        [*command, "--out", str(tmp_path)], start_new_session=True, stderr=subprocess.PIPE, text=True, preexec_fn=heard
    )
    deadline = time.time() + 120
    while not list(tmp_path.glob("partial-*")) and time.time() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, printed = process.communicate(timeout=30)
    assert process.returncode == 1
    assert printed.strip().endswith("interrupted")


def test_check_reports_everything_at_once_and_writes_nothing(tmp_path, rng, capsys):
    formats.freihand(tmp_path, rng)
    break_pictures(tmp_path, 2)
    cameras = json.loads((tmp_path / "training_K.json").read_text())
    joints = json.loads((tmp_path / "training_xyz.json").read_text())
    joints[2] = [[1000 * c for c in joint] for joint in joints[2]]  # millimetres
    (tmp_path / "training_xyz.json").write_text(json.dumps(joints))
    (tmp_path / "training_K.json").write_text(json.dumps(cameras))
    before = sorted(tmp_path.rglob("*"))
    assert main(["freihand", "--source", str(tmp_path), "--split", "train", "--check"]) == 1
    printed = capsys.readouterr().out
    assert "10 samples: 10 joints_2d, 10 joints_3d, 10 mask, 10 right" in printed
    assert printed.count("wrong units or joint order?") == 4  # four versions of one label
    assert printed.count("is no readable picture") == 2
    assert sorted(tmp_path.rglob("*")) == before


def test_a_clean_set_passes_the_check(tmp_path, rng):
    formats.stb(tmp_path, rng, frames=1)
    assert main(["stb", "--source", str(tmp_path), "--split", "test", "--check"]) == 0


def test_sheet_shows_samples_with_full_and_partial_labels(tmp_path, rng):
    formats.freihand(tmp_path / "a", rng)
    formats.dexter_object(tmp_path / "b", rng)
    for name, folder in (("freihand", "a"), ("dexter_object", "b")):
        sheet = tmp_path / f"{name}.png"
        arguments = [
            name,
            "--source",
            str(tmp_path / folder),
            "--split",
            "train",
            "--samples",
            "6",
            "--sheet",
            str(sheet),
        ]
        assert main(arguments) == 0
        assert cv2.imread(str(sheet)).shape == (274, 6 * 240, 3)


def test_verify(tmp_path, rng, capsys):
    formats.freihand(tmp_path / "source", rng)
    out = tmp_path / "out"
    prepare("freihand", str(tmp_path / "source"), "train", str(out), 2, 1)
    assert main(["freihand", "--verify", "--out", str(out)]) == 0
    shard = next(Path(out).glob("*.tfrecord"))
    shard.write_bytes(shard.read_bytes()[:-3] + b"abc")
    assert main(["freihand", "--verify", "--out", str(out)]) == 1
    assert "has changed since it was written" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["stb", "--split", "test", "--out", "x"], "--source and --split are needed"),
        (["stb", "--source", "x", "--split", "test"], "--out is needed"),
        (["stb", "--source", "x", "--split", "test", "--out", "x", "--option", "view"], "--option takes NAME=VALUE"),
    ],
)
def test_bad_usage(arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
