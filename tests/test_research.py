"""docs/research.md, end to end: its commands and code, with a tiny network, on small folders in the sets' layouts."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from hiu_tf import cli
from tests.hand.test_mano import mano_arrays, write
from tests.pipelines.datasets import formats

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "research.md").read_text()
FREIHAND, OWN = PAGE.split("## ")[1:]
TINY = ["--set", "model=tiny", "--set", "train.steps_per_epoch=2", "--set", "train.batch_size=4", "--set", "train.accumulate=1", "--set", "train.warmup_steps=1"]  # fmt: skip


def blocks(text, kind):
    return re.findall(rf"^```{kind}\n(.*?)^```", text, re.S | re.M)


def run_all(text, more):
    """Runs every command of a section; `more` adds arguments to those that begin so."""
    for block in blocks(text, "sh"):
        for line in block.splitlines():
            words = shlex.split(
                line.replace("pipelines/recipes", str(ROOT / "pipelines" / "recipes")).replace("NAME", "tiny")
            )
            extra = next((e for start, e in more.items() if line.startswith(f"hiu {start}")), [])
            assert cli.main([*words[1:], *extra]) == 0, line


@pytest.mark.slow
def test_freihand_and_rhd(tmp_path, monkeypatch, rng):
    monkeypatch.chdir(tmp_path)
    write(Path("MANO_RIGHT.pkl"), mano_arrays())
    formats.freihand(Path("FreiHAND_pub_v2"), rng, test_labels=True)
    formats.rhd(Path("RHD_published_v2"), rng)
    run_all(FREIHAND, {"prepare": ["--shards", "1", "--workers", "1"], "train": [*TINY, "--set", "train.epochs=1", "--set", "network.image_size=64"]})  # fmt: skip
    assert len(json.loads(Path("pred.json").read_text())[0]) == 3
    assert json.loads(Path("scores.json").read_text())


@pytest.mark.slow
def test_own_data_head_and_loss(tmp_path, monkeypatch, rng):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "my_tasks.py").write_text(blocks(OWN, "python")[0])
    (tmp_path / "my_recipe.yaml").write_text(blocks(OWN, "yaml")[0])
    photos = tmp_path / "photos"
    annotations = []
    for number in range(6):
        formats.save(photos / f"{number}.png", formats.noise(rng, 120, 100))
        points = np.hstack([rng.uniform(20, 80, (21, 2)), rng.integers(1, 3, (21, 1))])
        annotations.append(
            {"id": number, "image_id": number, "keypoints": points.ravel().tolist(), "hand_side": "right"}
        )
    images = [{"id": number, "file_name": f"{number}.png"} for number in range(6)]
    for split in ("train", "val"):
        (photos / f"{split}.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    run_all(
        OWN,
        {
            "prepare": ["--shards", "1", "--workers", "1"],
            "train": [*TINY, "--set", "train.steps=4"],
            "predict": ["--box", "20,20,60,60"],
        },
    )
    results = json.loads(Path("metrics.json").read_text())
    assert "visibility_accuracy" in json.dumps(results)
    assert "seen" in json.loads(Path("models/mine/model.json").read_text())["outputs"]
    assert len(list(Path("predictions").glob("*.json"))) == 6
    last = json.loads(Path("runs/mine/log.jsonl").read_text().splitlines()[-1])
    assert last["visibility"] > 0 and last["tips"] > 0
