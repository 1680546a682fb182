"""Long tests: kills of every program, thousands of pictures, random crops for every exported file."""

import numpy as np
import pytest

from hiu_tf.conventions import keys
from hiu_tf.runtime.backend import load_network
from tests.faults import kills, soak

PRECISIONS = ("float32", "float16", "dynamic", "int8")


@pytest.fixture(scope="module")
def files(tiny_network, hand, tmp_path_factory):
    from hiu_tf.exporting.card import model_card
    from hiu_tf.exporting.module import HIUModule
    from hiu_tf.exporting.saved_model import export_saved_model
    from hiu_tf.exporting.tflite import export_tflite

    folder = tmp_path_factory.mktemp("files")
    module = HIUModule(tiny_network, hand)
    card = model_card("tiny", module.size, hand, None)
    crops = np.random.default_rng(0).random((16, module.size, module.size, 3), np.float32)
    found = {"SavedModel": export_saved_model(module, folder / "tiny", card)}
    for precision in PRECISIONS:
        found[precision] = folder / f"{precision}.tflite"
        export_tflite(module, found[precision], precision, crops, card)
    return found


def odd_crops(count, size, rng):
    """Unusual crops: noise, uniform, dark, bright, out of range, and with holes of NaN."""
    crops = rng.random((count, size, size, 3), np.float32)
    crops[1::7] = rng.random((len(crops[1::7]), 1, 1, 3))
    crops[2::7] *= 0.01
    crops[3::7] = 1 - 0.01 * crops[3::7]
    crops[4::7] *= 1e6
    crops[5::7, 8:20, 8:20] = np.nan
    crops[6::7, :4] = -np.inf
    return crops


def check_numbers(files, count, rng):
    """Checks that outputs are finite and within their ranges, and that SavedModel and float32 file agree."""
    answers = {}
    for name, path in files.items():
        network, card, _ = load_network(path, 1)
        crops = odd_crops(count, card["image_size"], np.random.default_rng(5))
        parts = [network(crops[k : k + 16]) for k in range(0, count, 16)]
        answers[name] = {output: np.concatenate([part[output] for part in parts]) for output in parts[0]}
        for output, values in answers[name].items():
            assert np.isfinite(values).all(), (name, output)
        for output in (keys.SCORES, keys.MASK):
            assert (answers[name][output] >= 0).all() and (answers[name][output] <= 1).all(), (name, output)
    for output in (keys.JOINTS_2D, keys.SCORES, keys.MASK):
        np.testing.assert_allclose(answers["float32"][output], answers["SavedModel"][output], atol=2e-2, err_msg=output)


def test_nan_in_never_nan_out(exported_once, rng):
    names = {"SavedModel": "1", "float32": "tiny_float32.tflite", "float16": "tiny_float16.tflite"}
    check_numbers({name: exported_once / file for name, file in names.items()}, 28, rng)


@pytest.mark.slow
def test_a_thousand_odd_crops(files, rng):
    check_numbers(files, 1000, rng)


def test_the_slope_of_memory_is_a_slope():
    assert soak.slope([5, *(100 + 2.5 * k for k in range(1, 10))], 900) == pytest.approx(1000 * 2.5 / 100)


@pytest.mark.slow
def test_kills():
    _, wrong = kills.run(list(kills.PROGRAMS), 50, seed=0)
    assert not wrong, "\n".join(wrong)


@pytest.mark.slow
def test_soak():
    from hiu_tf.runtime.shipped import shipped_model

    growth, different = soak.soak_pictures(shipped_model(), 3000)
    assert different == 0 and growth < soak.MOST_SLOPE
    growth, frames = soak.soak_clip(shipped_model(), 10)
    assert frames == 15_000 and growth < soak.MOST_SLOPE
