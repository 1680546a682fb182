"""ONNX files: predictions, names, card and options are those of the TFLite files; bad files are refused in one line."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow as tf

from hiu_tf.cli import main as hiu
from hiu_tf.codecs.centres import overlap
from hiu_tf.conventions import keys
from hiu_tf.errors import UserError
from hiu_tf.exporting import onnx_file
from hiu_tf.exporting.card import model_card
from hiu_tf.exporting.detector import detector_card, export_detector
from hiu_tf.exporting.module import HIUModule
from hiu_tf.exporting.onnx_file import OPSET, export_onnx
from hiu_tf.exporting.targets import TARGETS, USUAL
from hiu_tf.programs import export as export_program
from hiu_tf.runtime import backend
from hiu_tf.runtime.backend import ModelError, load_network
from hiu_tf.runtime.card import CARD, CHECKSUM, checksum
from hiu_tf.runtime.detector import MAPS, Detector
from hiu_tf.runtime.predictor import Predictor
from tests.faults.material import scene
from tests.faults.test_long import check_numbers

REASON = "hiu-tf[onnx] is not installed (it needs Python 3.10)"
onnx = pytest.importorskip("onnx", reason=REASON)
onnxruntime = pytest.importorskip("onnxruntime", reason=REASON)
pytest.importorskip("tf2onnx", reason=REASON)

SAVED_MODELS = Path(__file__).parents[2] / "savedmodels"
PIXELS = {keys.JOINTS_2D, keys.JOINTS_2D_PROJECTED}


@pytest.fixture(scope="module")
def module(tiny_network, hand):
    return HIUModule(tiny_network, hand)


@pytest.fixture(scope="module")
def card(hand):
    return model_card("tiny", 64, hand, None)


@pytest.fixture(scope="module")
def file(module, card, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "tiny.onnx"
    export_onnx(module, path, card)
    return path


@pytest.fixture(scope="module")
def crops():
    return np.random.default_rng(4).random((5, 64, 64, 3), np.float32)


def assert_same(found, expected, outputs):
    for key in outputs:
        np.testing.assert_allclose(found[key], expected[key], atol=0.01 if key in PIXELS else 1e-4, err_msg=key)


@pytest.mark.long
def test_same_answers(file, module, crops, exported_once):
    network, card, engine = load_network(file)
    found = network(crops)
    assert engine == "onnxruntime"
    assert set(found) == set(module.outputs) == set(card["outputs"])
    for other in (exported_once, exported_once / "tiny_float32.tflite"):
        assert_same(found, load_network(other)[0](crops), module.outputs)


@pytest.mark.long
def test_nan_in_never_nan_out(file, exported_once, rng):
    names = {"SavedModel": exported_once / "1", "float32": exported_once / "tiny_float32.tflite", "onnx": file}
    check_numbers(names, 28, rng)


def test_what_is_in_the_file(file, card):
    """Operators of one standard version; the input and outputs of the contract; the card for any reader of ONNX."""
    model = onnx.load(file)
    assert {part.domain: part.version for part in model.opset_import}[""] == OPSET
    assert {node.domain for node in model.graph.node} == {""}
    shapes = {
        t.name: [d.dim_value for d in t.type.tensor_type.shape.dim] for t in (*model.graph.input, *model.graph.output)
    }
    contract = card["signatures"]["tensor"]["outputs"]
    of_letters = {"B": 1, "S": 64, "V": 1500}
    expected = {name: [of_letters.get(n, n) for n in output["shape"]] for name, output in contract.items()}
    assert shapes == {"image": [1, 64, 64, 3]} | expected
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    assert json.loads(session.get_modelmeta().custom_metadata_map[CARD]) == json.loads(json.dumps(card))


@pytest.mark.long
def test_a_free_batch_without_masks(module, card, crops, tmp_path):
    export_onnx(module, tmp_path / "x.onnx", card, batch=None, mask=False)
    network, _, _ = load_network(tmp_path / "x.onnx")
    expected = module.predict(tf.constant(crops))
    for count in (0, 1, 5):
        found = network(crops[:count])
        assert set(found) == set(module.outputs) - {keys.MASK}
        assert_same(found, {key: value[:count] for key, value in expected.items()}, found)
    first = {t.type.tensor_type.shape.dim[0].dim_param for t in onnx.load(tmp_path / "x.onnx").graph.output}
    assert first == {"batch"}


@pytest.mark.parametrize("threads", (1, 1000))
def test_threads_are_taken_up_to_the_cores(file, threads, monkeypatch):
    given, session = [], onnxruntime.InferenceSession

    def open_session(content, options, **others):
        given.append(options.intra_op_num_threads)
        return session(content, options, **others)

    monkeypatch.setattr(onnxruntime, "InferenceSession", open_session)
    monkeypatch.setattr(backend, "cores", lambda: 2)
    load_network(file, threads)
    assert given == [min(threads, 2)]


def test_the_product_runs_on_it(file, exported_once, tmp_path, capsys):
    """The predictor and the commands give what they give with the .tflite file."""
    box, side = (10, 10, 40, 40), "left"
    found, expected = (Predictor(path).predict(scene(), box, side)[0] for path in (file, exported_once / "tiny.tflite"))
    np.testing.assert_allclose(found.joints_3d, expected.joints_3d, atol=1e-4)
    np.testing.assert_allclose(found.mask, expected.mask, atol=1e-3)
    cv2.imwrite(str(tmp_path / "hand.png"), scene())
    options = ["--model", str(file), "--box", "10,10,40,40", "--side", "right", "--threads", "1"]
    assert hiu(["predict", str(tmp_path / "hand.png"), "--out", str(tmp_path / "out"), *options]) == 0
    assert "tiny.onnx on onnxruntime" in capsys.readouterr().out
    assert json.loads((tmp_path / "out" / "hand.json").read_text())["hands"]
    assert hiu(["info", "--model", str(file)]) == 0
    assert "runs on onnxruntime" in capsys.readouterr().out


def test_predicting_needs_no_tensorflow(file):
    code = (
        "import sys, numpy as np; from hiu_tf.runtime.backend import load_network; "
        "load_network(sys.argv[1])[0](np.zeros((1, 64, 64, 3), np.float32)); "
        "sys.exit('tensorflow' in sys.modules or 'onnx' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, file], check=False).returncode == 0


# --- bad files -----------------------------------------------------------------------------------


def with_card(file, card):
    """The file with another card, without one for None; its checksum is right."""
    model = onnx.load(file)
    del model.metadata_props[:]
    if card is not None:
        model.metadata_props.add(key=CARD, value=json.dumps(card))
    model.metadata_props.add(key=CHECKSUM, value=checksum(model.SerializeToString()))
    return model.SerializeToString()


def damaged(place):
    """A function that flips a bit of a file's content, at a share of its length from 0 to 1."""

    def flip(file, card):
        content = bytearray(file.read_bytes())
        content[int(place * len(content))] ^= 4
        return bytes(content)

    return flip


BAD = {
    "a flipped bit in the weights": (damaged(0.5), "is damaged: it"),
    "a flipped bit in the card": (damaged(0.995), "is damaged: it"),
    "cut off": (lambda file, card: file.read_bytes()[:-1000], "is damaged or no ONNX file"),
    "empty": (lambda file, card: b"", "has no 'model.json' in its metadata"),
    "another kind of file": (lambda file, card: b"\x89PNG, a picture", "no ONNX file|has no"),
    "no card": (lambda file, card: with_card(file, None), "has no 'model.json' in its metadata"),
    "a field is missing": (lambda file, card: with_card(file, {"name": "x"}), "no model card of a hand network"),
    "a field is wrong": (lambda file, card: with_card(file, card | {"image_size": "64"}), "image_size must be a whole"),
    "another network's card": (lambda file, card: with_card(file, card | {"image_size": 96}), "do not belong together"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_refused_in_one_line(kind, file, card, tmp_path, capsys):
    spoil, message = BAD[kind]
    path = tmp_path / "bad.onnx"
    path.write_bytes(spoil(file, card))
    with pytest.raises(ModelError, match=message) as error:
        load_network(path)
    assert str(path) in str(error.value)
    assert hiu(["info", "--model", str(path)]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_graph_that_onnxruntime_refuses(file, card, tmp_path):
    """Its card and checksum are right, but an operator does not exist."""
    model = onnx.load(file)
    model.graph.node[0].op_type = "Nothing"
    onnx.save(model, tmp_path / "x.onnx")
    (tmp_path / "x.onnx").write_bytes(with_card(tmp_path / "x.onnx", card))
    with pytest.raises(ModelError, match="onnxruntime cannot read .*x.onnx"):
        load_network(tmp_path / "x.onnx")
    with pytest.raises(ModelError, match="there is no model at"):
        load_network(tmp_path / "nothing.onnx")


def test_without_onnxruntime(file, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ModelError, match=r"^no ONNX Runtime is installed: pip install 'hiu-tf\[onnxruntime\]'"):
        load_network(file)


def test_a_hand_network_is_no_detector(file):
    with pytest.raises(ModelError, match="finds no hands"):
        Detector(file)


# --- export --------------------------------------------------------------------------------------


def test_it_is_written_only_if_it_is_named():
    assert set(TARGETS) - set(USUAL) == {"onnx"}
    assert "onnx" not in export_program.parse_args(["--run", "r", "--out", "o"]).precisions
    assert export_program.parse_args(["--run", "r", "--out", "o", "--precisions", "onnx"]).precisions == ["onnx"]


def test_without_the_packages_nothing_is_begun(module, card, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_file, "find_spec", lambda name: None if name == "tf2onnx" else name)
    message = r"ONNX files need tf2onnx: pip install 'hiu-tf\[onnx\]'"
    with pytest.raises(UserError, match=message):
        export_onnx(module, tmp_path / "x.onnx", card)
    with pytest.raises(UserError, match=message):
        export_program.main(["--run", "nowhere", "--out", str(tmp_path / "out"), "--precisions", "onnx"])
    assert not list(tmp_path.iterdir())


def test_an_operation_that_onnx_lacks(tmp_path):
    class Strange:
        size = 64

        def in_line(self, image):
            return {"strange": tf.math.lgamma(image + 1.5)}

    with pytest.raises(UserError, match="^strange cannot be written as ONNX: No Op registered for Lgamma"):
        export_onnx(Strange(), tmp_path / "x.onnx", {"name": "strange"})
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_shipped_hand_network(rendered_records, tmp_path):
    """The export itself compares the file with the network; here they agree on noise, too."""
    from hiu_tf.exporting.run import export
    from hiu_tf.training.folder import load_run

    shipped = SAVED_MODELS / "hiu_mobile"
    run = load_run(shipped)
    size = run.config.image_size
    with export_program.example_source(size, str(rendered_records), ["synthetic"], 6) as examples:
        paths = export(run, tmp_path, ("onnx",), examples)
    assert [path.name for path in paths] == ["1", "hiu_mobile.onnx"]
    noise = np.random.default_rng(1).random((4, size, size, 3), np.float32)
    network, card, _ = load_network(paths[1])
    assert_same(network(noise), load_network(shipped)[0](noise), card["outputs"])


@pytest.mark.slow
def test_the_shipped_detector(tmp_path, rng):
    from hiu_tf.training.detector import load_detector

    shipped = SAVED_MODELS / "hand_detector"
    network, config = load_detector(shipped)
    paths = export_detector(network, tmp_path, detector_card(config, 0.2, None), "# card", onnx=True)
    assert [path.name for path in paths] == ["hand_detector_float16.tflite", "hand_detector.onnx", "1"]
    detector, image = Detector(paths[1]), rng.random((1, 224, 224, 3)).astype(np.float32)
    saved = tf.saved_model.load(str(shipped / "1")).signatures["tensor"]
    np.testing.assert_allclose(detector._network(image)[MAPS], saved(image=tf.constant(image))[MAPS], atol=1e-4)
    # The lower threshold on the other side: float16 moves scores by less than 0.01.
    for one, other in ((detector, Detector(paths[0])), (Detector(paths[0]), detector)):
        found = other.find(scene(), 0.01)
        for hand in one.find(scene(), 0.02):
            nearest = max(found, key=lambda candidate, hand=hand: overlap(candidate.box, hand.box))
            assert overlap(nearest.box, hand.box) > 0.9 and nearest.score == pytest.approx(hand.score, abs=0.01)
