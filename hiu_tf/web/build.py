"""Writes the page as a folder of files that any static host can serve."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import hiu_tf
from hiu_tf.atomic import clear_leftovers, written_whole
from hiu_tf.conventions.skeleton import JOINT_NAMES
from hiu_tf.errors import UserError
from hiu_tf.hand.procedural import procedural_hand
from hiu_tf.runtime.card import read_card
from hiu_tf.runtime.results import UNITS
from hiu_tf.runtime.shipped import DETECTOR, HAND, shipped_model
from hiu_tf.web.hand import ARRAYS, INDEX, write_hand
from hiu_tf.web.licences import licences
from hiu_tf.web.packages import copy_packages

#: File that the page reads first; a folder that contains it was written by us.
SITE = "site.json"
MADE_BY = "hiu-tf"
SAMPLE = "sample.jpg"
#: Kind of network (of `read_card`) -> name of the shipped model.
MODELS = {"hand": HAND, "detector": DETECTOR}
_SOURCES = Path(__file__).parent / "site"


def build_site(out: str | Path) -> Path:
    """Writes the page into a folder atomically. An existing page there is replaced.

    Args:
      out: the folder.

    Returns:
      The folder's path.

    Raises:
      UserError: the folder has other content, the packages cannot be fetched, or a model is missing or damaged.
    """
    out = Path(out).resolve()
    _refuse_others(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    clear_leftovers(out.parent)
    with written_whole(out) as scratch:
        shutil.copytree(_SOURCES, scratch)
        versions = copy_packages(scratch / "vendor")
        models = {kind: _copy_model(name, kind, scratch) for kind, name in MODELS.items()}
        write_hand(scratch / "models", procedural_hand())  # the hand model of the shipped network
        (scratch / "licences.txt").write_text(licences(scratch / "vendor"), encoding="utf-8")
        content = {
            "made_by": MADE_BY,
            "hiu_tf": hiu_tf.__version__,
            "models": models,
            "hand": {"index": f"models/{INDEX}", "arrays": f"models/{ARRAYS}"},
            "sample": SAMPLE,
            "joint_names": JOINT_NAMES,
            "units": UNITS,
            "packages": versions,
        }
        (scratch / SITE).write_text(json.dumps(content, indent=1))
        if out.is_dir():  # remove the old page: a rename does not replace a folder
            shutil.rmtree(out)
    return out


def size_mb(folder: Path) -> float:
    """Size of all files in a folder, in megabytes."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def card_json(card: dict) -> str:
    """A card as JSON for browsers: NaN, which Python's JSON would write as a word, becomes null."""
    return json.dumps(json.loads(json.dumps(card), parse_constant=lambda word: None), allow_nan=False)


def _copy_model(name, kind, target):
    """Copies a shipped model and writes its card beside it, because browsers do not read the card inside the file."""
    path = shipped_model(name)
    content = path.read_bytes()
    card = read_card(path, content, kind)
    folder = target / "models"
    folder.mkdir(exist_ok=True)
    (folder / path.name).write_bytes(content)
    (folder / f"{name}.json").write_text(card_json(card))
    return {"file": f"models/{path.name}", "card": f"models/{name}.json"}


def _refuse_others(out):
    """Refuses folders that are neither empty nor written by us."""
    if out.is_dir() and (not any(out.iterdir()) or _is_ours(out)):
        return
    if out.exists():
        raise UserError(f"{out} is not a page of ours: give another --out, or remove it")


def _is_ours(folder):
    try:
        return json.loads((folder / SITE).read_text()).get("made_by") == MADE_BY
    except (OSError, ValueError, AttributeError):
        return False
