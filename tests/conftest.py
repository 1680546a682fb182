"""Shared fixtures: the hand, a tiny network, its exported files, a folder with a few rendered records."""

import dataclasses
import fcntl
import gc
import os
import shutil

import numpy as np
import pytest

import hiu_tf  # noqa: F401  (before tensorflow: selects tf_keras)

# isort: split
import tensorflow as tf

# The collector looks through all objects of TensorFlow again and again while graphs are traced: a twentieth of the suite.
gc.freeze()
gc.set_threshold(100_000, 20, 100)

# TensorFlow's graph optimizer takes longer than the few steps of a test. The programs that tests start keep it.
tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})

#: Seconds that a slow test may take; pyproject.toml has the limit of the others.
SLOW_TIMEOUT = 6 * 3600


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(SLOW_TIMEOUT))


@pytest.fixture(scope="session")
def hand():
    from hiu_tf.hand.procedural import procedural_hand

    return procedural_hand()


@pytest.fixture(params=["wrist in the origin", "wrist elsewhere"])
def any_hand(hand, request):
    """Our hand, whose wrist is in its origin, or one whose wrist is not, like MANO's: R turns about the wrist."""
    away = np.array([0.09, 0.006, -0.02], np.float32) * (request.param == "wrist elsewhere")
    return dataclasses.replace(hand, vertices=hand.vertices + away)


@pytest.fixture(scope="session")
def tiny_network():
    import tf_keras as keras

    from hiu_tf.config.presets import model_config
    from hiu_tf.models.hiu import build_hiu

    keras.utils.set_random_seed(3)
    return build_hiu(model_config("tiny"))


@pytest.fixture(scope="session")
def exported_once(tiny_network, hand, tmp_path_factory):
    """The tiny network's files, made once for all processes of a test run: copy them (`tiny_model`), do not change them.

    1/ (SavedModel with its card), tiny_float32.tflite and tiny_float16.tflite without a card inside, model.json beside
    them, and tiny.tflite, the float32 file with its card inside.
    """
    root = tmp_path_factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    with open(root / "exported.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (root / "exported").exists():
            _export(tiny_network, hand, root / "making")
            (root / "making").rename(root / "exported")
    return root / "exported"


@pytest.fixture(scope="module")
def tiny_model(exported_once, tmp_path_factory):
    """A copy of `exported_once` for a module of tests: folder "tiny"."""
    return shutil.copytree(exported_once, tmp_path_factory.mktemp("models") / "tiny")


def _export(network, hand, folder):
    from hiu_tf.exporting.card import model_card, write_card
    from hiu_tf.exporting.module import HIUModule
    from hiu_tf.exporting.saved_model import export_saved_model
    from hiu_tf.exporting.tflite import attach_card, export_tflite

    module = HIUModule(network, hand)
    card = model_card("tiny", module.size, hand, None)
    export_saved_model(module, folder, card)
    for precision in ("float32", "float16"):
        export_tflite(module, folder / f"tiny_{precision}.tflite", precision)
    write_card(folder, card)
    attach_card(shutil.copy(folder / "tiny_float32.tflite", folder / "tiny.tflite"), card)


@pytest.fixture(scope="session")
def rendered_records(tmp_path_factory):
    """A data root with synthetic/train (12 samples) and synthetic/val (6)."""
    from pipelines.datasets import open_split
    from pipelines.records import write_index, write_shard

    root = tmp_path_factory.mktemp("data")
    (root / "synthetic").mkdir()
    for split, count in (("train", "12"), ("val", "6")):
        name = f"{split}-00000-of-00001.tfrecord"
        note = write_shard(root / "synthetic" / name, open_split("synthetic", count, split).outcomes())
        write_index(root / "synthetic", "synthetic", split, {name: note})
    return root


@pytest.fixture
def rng():
    return np.random.default_rng(11)
