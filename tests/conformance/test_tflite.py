"""Precisions of TFLite files: which parts they compute in it, differences from the network, and errors."""

import functools
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.lite.python.schema_py_generated import ModelT

from hiu_tf.conventions import keys
from hiu_tf.evaluation.predictors import exported_predictor
from hiu_tf.exporting.card import model_card, write_card
from hiu_tf.exporting.module import HIUModule
from hiu_tf.exporting.parity import Parity, beyond_limits, parity, parity_table
from hiu_tf.exporting.targets import TARGETS
from hiu_tf.exporting.tflite import PRECISIONS, delegated_share, export_tflite
from hiu_tf.runtime.backend import ModelError, load_network
from hiu_tf.training.folder import load_run
from pipelines.build import evaluation_data
from tests.places import SHIPPED

LIMITS = {name: target.limits for name, target in TARGETS.items()}


@pytest.fixture(scope="module")
def shipped():
    return load_run(SHIPPED)


@pytest.fixture(scope="module")
def batches(rendered_records, shipped):
    data = evaluation_data(rendered_records / "synthetic", "val", shipped.config.image_size, 4)
    return list(data.as_numpy_iterator())


@pytest.fixture(scope="module")
def file_of(shipped, batches, tmp_path_factory):
    """A function precision -> file exported from the shipped SavedModel's weights, on first use."""
    folder = tmp_path_factory.mktemp("files")
    module, crops = HIUModule(shipped.network, shipped.hand), np.concatenate([b[keys.IMAGE] for b in batches])
    card = model_card(shipped.preset, module.size, shipped.hand, None)

    @functools.cache
    def made(name):
        export_tflite(module, folder / f"{name}.tflite", name, crops, card)
        return folder / f"{name}.tflite"

    return made


#: By default the shipped precision, with `make test-slow` the others, each of which takes a minute to convert.
_EACH = [name if name == "float16" else pytest.param(name, marks=pytest.mark.slow) for name in PRECISIONS]


@pytest.mark.long
@pytest.mark.parametrize("name", _EACH)
def test_files_stay_near_the_network(name, file_of, batches, shipped):
    """On six pictures; the limits are held on 208 when a model is exported (its card has the table)."""
    candidate = {name: exported_predictor(str(file_of(name)))[0]}
    part = parity(exported_predictor(SHIPPED)[0], candidate, batches, shipped.config.image_size)[name]
    assert part.pictures == 6
    assert part.pixels[0] < (4 * max(LIMITS[name][0], 0.1) if name in ("dynamic", "int8") else LIMITS[name][0])
    if name == "float32":
        assert max(part.pixels[1], part.millimetres[1]) < 0.05
        assert not beyond_limits({name: part}, LIMITS)
    assert part.mask < 0.02
    assert f"| {name} |" in parity_table({name: part})


@pytest.mark.long
@pytest.mark.parametrize("name", _EACH)
def test_the_fast_path_takes_every_convolution_of_built_in_operations(name, file_of):
    interpreter = tf.lite.Interpreter(str(file_of(name)))
    assert name == "dynamic" or delegated_share(file_of(name)) == 1
    assert not [op["op_name"] for op in interpreter._get_ops_details() if op["op_name"].startswith("Flex")]


@pytest.mark.long
def test_no_constant_has_the_pictures_shape(file_of, shipped):
    """Such as the zeros by which NaN would be replaced: a sixth of a small file."""
    model = ModelT.InitFromPackedBuf(file_of("float16").read_bytes(), 0)
    side = shipped.config.image_size
    shapes = [list(t.shape) for g in model.subgraphs for t in g.tensors if model.buffers[t.buffer].data is not None]
    assert len(shapes) > 100 and [1, side, side, 3] not in shapes


@pytest.mark.slow
def test_int8_computes_convolutions_in_int8_and_geometry_in_float(file_of):
    interpreter = tf.lite.Interpreter(
        str(file_of("int8")),
        experimental_op_resolver_type=tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    types = {tensor["index"]: tensor["dtype"] for tensor in interpreter.get_tensor_details()}
    kinds = {}
    for op in interpreter._get_ops_details():
        kinds.setdefault(op["op_name"], []).append(types[op["outputs"][0]] == np.int8)
    assert np.mean(kinds["CONV_2D"]) > 0.5
    for geometry in ("SIN", "COS", "ATAN2", "SQRT", "BATCH_MATMUL", "FULLY_CONNECTED", "DIV"):
        assert not any(kinds[geometry]), geometry
    assert all(tensor["dtype"] == np.float32 for tensor in interpreter.get_output_details())


def test_a_file_beyond_its_limits_is_named():
    bad = Parity((0.5, 3.0, 9.0), (0.9, 5.0, 80.0), 0.02, 0.01, -1.7, {"mesh_root": 2.0, "mesh_aligned": -0.2}, 208)
    assert beyond_limits({"int8": bad}, LIMITS) == {
        "int8": "the 2D error changes by -1.7 px (limit 1.5), mesh_root changes by 2 mm (limit 1.5)"
    }
    good = bad._replace(pixel_error=1.4, changes={"mesh_root": -1.4})
    assert not beyond_limits({"int8": good}, LIMITS)
    assert (
        "the mesh moves by 1.6 mm"
        in beyond_limits({"int8": good._replace(millimetres=(1.6, 5.0, 80.0))}, LIMITS)["int8"]
    )
    assert beyond_limits({"int8": good._replace(mask=0.1, right=0.04)}, LIMITS) == {
        "int8": "the mask changes by 0.1 (limit 0.02), the side changes by 0.04 (limit 0.02)"
    }
    unlabelled = good._replace(pixel_error=np.nan, changes={})
    assert not beyond_limits({"int8": unlabelled}, LIMITS)
    assert (
        "2D joints move by nan px" in beyond_limits({"int8": unlabelled._replace(pixels=(np.nan,) * 3)}, LIMITS)["int8"]
    )


@pytest.mark.long
def test_int8_of_a_fresh_network_runs_on_the_light_interpreter(tiny_network, hand, tmp_path):
    module = HIUModule(tiny_network, hand)
    with pytest.raises(ValueError, match="int8 needs crops"):
        export_tflite(module, tmp_path / "x.tflite", "int8")
    with pytest.raises(ValueError, match="precision must be one of"):
        export_tflite(module, tmp_path / "x.tflite", "int4")
    crops = np.random.default_rng(1).random((4, 64, 64, 3), np.float32)
    export_tflite(module, tmp_path / "x.tflite", "int8", crops)
    with pytest.raises(ModelError, match="card"):
        load_network(tmp_path / "x.tflite")
    write_card(tmp_path, model_card("tiny", 64, hand, None))
    network, _, _ = load_network(tmp_path / "x.tflite")
    assert network(crops[:1])[keys.JOINTS_3D].shape == (1, 21, 3)


@pytest.mark.long
@pytest.mark.parametrize("name", _EACH)
def test_a_file_carries_its_card(name, file_of):
    """A file alone in a folder is a complete model; any unzip program reads its card."""
    _, card, _ = load_network(file_of(name))
    code = "import sys, zipfile, json; print(json.loads(zipfile.ZipFile(sys.argv[1]).read('model.json'))['joint_names'][4])"
    found = subprocess.run([sys.executable, "-c", code, file_of(name)], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == card["joint_names"][4] == "thumb4"


def test_outputs_are_numbered_by_the_alphabet():
    """As docs/mobile.md says for interpreters without signatures."""
    interpreter = tf.lite.Interpreter(str(SHIPPED / "hiu_mobile_float16.tflite"))
    shapes = {tensor["name"]: tensor["shape"].tolist() for tensor in interpreter.get_output_details()}
    runner = interpreter.get_signature_runner("tensor")
    for number, name in enumerate(sorted(runner.get_output_details())):
        assert shapes[f"StatefulPartitionedCall:{number}"] == runner.get_output_details()[name]["shape"].tolist(), name


@pytest.mark.long
@pytest.mark.parametrize("precision", ("float16", pytest.param("int8", marks=pytest.mark.slow)))
def test_a_free_batch_costs_no_speed(precision, tiny_network, hand, tmp_path):
    """XNNPACK does not take graphs with shapes computed at run time: there must be none."""
    crops = np.random.default_rng(1).random((4, 64, 64, 3), np.float32)
    export_tflite(HIUModule(tiny_network, hand), tmp_path / "x.tflite", precision, crops, batch=None)
    interpreter = tf.lite.Interpreter(str(tmp_path / "x.tflite"))
    assert interpreter.get_input_details()[0]["shape_signature"].tolist() == [-1, 64, 64, 3]
    assert not {"SHAPE", "BROADCAST_TO", "FILL"} & {node["op_name"] for node in interpreter._get_ops_details()}
    assert delegated_share(tmp_path / "x.tflite") == 1


@pytest.mark.long
@pytest.mark.parametrize(
    "batch", (pytest.param(1, marks=pytest.mark.slow), 4, pytest.param(None, marks=pytest.mark.slow))
)
def test_batches_and_files_without_masks(batch, tiny_network, hand, tmp_path):
    """A file with batch 4 predicts 3 and 5 crops like one with batch 1; without the mask it has no such output."""
    from hiu_tf.runtime.draw import draw_hands
    from hiu_tf.runtime.predictor import Predictor

    module = HIUModule(tiny_network, hand)
    path = tmp_path / "x.tflite"
    export_tflite(module, path, "float32", card=model_card("tiny", 64, hand, None), batch=batch, mask=False)
    network, _, _ = load_network(path)
    crops = np.random.default_rng(1).random((5, 64, 64, 3), np.float32)
    expected = module.predict(tf.constant(crops))
    for count in (0, 1, 3, 5):
        found = network(crops[:count])
        assert keys.MASK not in found
        np.testing.assert_allclose(found[keys.VERTICES], expected[keys.VERTICES][:count], atol=1e-4)
    predictor = Predictor(path)
    picture = np.full((90, 120, 3), 100, np.uint8)
    prediction = predictor.predict(picture, (20, 20, 50, 50), "left")[0]
    assert prediction.mask is None
    assert draw_hands(picture, [prediction]).shape == (90, 3 * 120, 3)
