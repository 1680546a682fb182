"""Keras, SavedModel and TFLite give the same predictions."""

import hashlib
import json
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
import tensorflow as tf

from hiu_tf.config.presets import model_config
from hiu_tf.conventions import keys
from hiu_tf.errors import UserError
from hiu_tf.exporting.module import HIUModule
from hiu_tf.exporting.saved_model import export_saved_model
from hiu_tf.models.hiu import build_hiu
from hiu_tf.runtime.backend import INTERPRETERS, ModelError, load_network
from hiu_tf.training.folder import load_weights

PIXELS = {keys.JOINTS_2D, keys.JOINTS_2D_PROJECTED}


@pytest.fixture(scope="module")
def exported(tiny_network, hand, tiny_model):
    return HIUModule(tiny_network, hand), tiny_model


@pytest.fixture(scope="module")
def crops():
    return np.random.default_rng(4).random((3, 64, 64, 3), np.float32)


@pytest.mark.parametrize(
    ("name", "pixels", "metres"),
    [("", 0.01, 1e-6), ("tiny_float32.tflite", 0.1, 1e-4), ("tiny_float16.tflite", 0.5, 1e-3)],
)
def test_same_answers(exported, crops, name, pixels, metres):
    module, folder = exported
    expected = {key: value.numpy() for key, value in module.predict(tf.constant(crops)).items()}
    network, card, _ = load_network(folder / name)
    found = network(crops)
    assert set(found) == set(module.outputs) == set(card["outputs"])
    for key in module.outputs:
        limit = pixels if key in PIXELS else metres if key in (keys.JOINTS_3D, keys.VERTICES) else 0.01
        np.testing.assert_allclose(found[key], expected[key], atol=limit, err_msg=key)


@pytest.mark.parametrize("engine", INTERPRETERS)
def test_every_interpreter_reads_the_files(exported, crops, engine, monkeypatch):
    pytest.importorskip(engine)
    from hiu_tf.runtime import backend

    monkeypatch.setattr(backend, "INTERPRETERS", (engine,))
    module, folder = exported
    network, _, used = load_network(folder / "tiny_float32.tflite")
    assert used == engine.split(".")[0]
    expected = module.predict(tf.constant(crops))[keys.JOINTS_3D]
    np.testing.assert_allclose(network(crops)[keys.JOINTS_3D], expected, atol=1e-4)


def test_encoded_pictures_of_several_sizes(exported, rng):
    module, folder = exported
    pictures = [rng.integers(0, 255, shape, dtype=np.uint8) for shape in ((80, 120, 3), (64, 64, 3))]
    encoded = [cv2.imencode(".png", picture)[1].tobytes() for picture in pictures]
    serving = tf.saved_model.load(str(folder / "1")).signatures["serving_default"]
    found = serving(image_bytes=tf.constant(encoded))
    np.testing.assert_array_equal(found["image_size"], [[80, 120], [64, 64]])
    crop = pictures[1][..., ::-1].astype(np.float32) / 255
    np.testing.assert_allclose(
        found[keys.JOINTS_2D][1], module.predict(tf.constant(crop[None]))[keys.JOINTS_2D][0], atol=0.01
    )


@pytest.mark.long
def test_saved_model_loads_without_this_package(exported):
    _, folder = exported
    code = (
        "import sys, tensorflow as tf\n"
        "sys.modules['hiu_tf'] = None\n"
        f"model = tf.saved_model.load({str(folder / '1')!r})\n"
        "print(model.signatures['tensor'](image=tf.zeros([2, 64, 64, 3]))['vertices'].shape)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=folder)
    assert result.stdout.startswith("(2, 1500, 3)")


def test_tflite_uses_builtin_operations_only(exported):
    interpreter = tf.lite.Interpreter(str(exported[1] / "tiny_float32.tflite"))
    assert not [op["op_name"] for op in interpreter._get_ops_details() if op["op_name"].startswith("Flex")]


@pytest.mark.long
def test_versions_count_up_and_carry_their_card(exported, hand):
    module, folder = exported
    second = export_saved_model(module, folder, {"name": "tiny"})
    assert second.name == "2"
    card = json.loads((second / "assets.extra" / "model.json").read_text())
    names = ["saved_model.pb", *(f"variables/{path.name}" for path in sorted((second / "variables").iterdir()))]
    checksums = {name: hashlib.sha256((second / name).read_bytes()).hexdigest() for name in names}
    assert card == {"name": "tiny", "files": checksums}
    assert len(checksums) == 3
    files = {"tiny.tflite", "tiny_float32.tflite", "tiny_float16.tflite", "model.json"}
    assert {path.name for path in folder.iterdir()} - files == {"1", "2"}, "no scratch folder is left"
    shutil.rmtree(second)


@pytest.mark.parametrize("name", ["nothing.tflite", "nothing", "broken.tflite"])
def test_bad_models_are_refused(tmp_path, name):
    (tmp_path / "broken.tflite").write_bytes(b"no model at all")
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(ModelError):
        load_network(tmp_path / name)


@pytest.mark.long
def test_a_training_starts_from_a_saved_model(exported, crops):
    """The weights of an exported SavedModel load into a network of the same kind, and into no other kind."""
    module, folder = exported
    fresh = build_hiu(model_config("tiny"))
    load_weights(fresh, folder)
    expected = module.predict(tf.constant(crops))
    found = HIUModule(fresh, module.hand).predict(tf.constant(crops))
    for key in module.outputs:
        np.testing.assert_array_equal(found[key], expected[key], err_msg=key)
    with pytest.raises(UserError, match="does not hold|has shape"):
        load_weights(build_hiu(model_config("tiny", {"stacks": 2})), folder)


@pytest.mark.parametrize(
    "name", ["saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001"]
)
def test_a_damaged_part_of_a_saved_model_is_named(exported, name, tmp_path):
    """Damage, also to the weights, is reported before TensorFlow reads the model."""
    version = shutil.copytree(exported[1] / "1", tmp_path / "1")
    content = bytearray((version / name).read_bytes())
    content[len(content) // 2] ^= 1
    (version / name).write_bytes(content)
    with pytest.raises(ModelError, match=f"{name} is damaged"):
        load_network(version)


def test_a_card_names_no_file_outside_its_model(exported, tmp_path):
    version = shutil.copytree(exported[1] / "1", tmp_path / "1")
    card = json.loads((version / "assets.extra" / "model.json").read_text()) | {"files": {"../../etc/passwd": "x"}}
    (version / "assets.extra" / "model.json").write_text(json.dumps(card))
    with pytest.raises(ModelError, match="files must be"):
        load_network(version)
