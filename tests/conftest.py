"""Shared fixtures: the hand, a tiny network, a folder with a few rendered records."""

import numpy as np
import pytest

import hiu_tf  # noqa: F401  (before tensorflow: selects tf_keras)

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


@pytest.fixture(scope="session")
def tiny_network():
    import tf_keras as keras

    from hiu_tf.config.presets import model_config
    from hiu_tf.models.hiu import build_hiu

    keras.utils.set_random_seed(3)
    return build_hiu(model_config("tiny"))


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
