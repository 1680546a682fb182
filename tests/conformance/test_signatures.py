"""The exported signatures: the contract file, real pictures of every kind, broken ones, other loaders, equal numbers."""

import ctypes
import io
import json
import struct
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps
from tensorflow.core.protobuf import saved_model_pb2

from hiu_tf.config.presets import model_config
from hiu_tf.conventions import keys
from hiu_tf.exporting.contract import contract
from hiu_tf.exporting.crops import cut_encoded, decode
from hiu_tf.exporting.module import HIUModule
from hiu_tf.geometry.window import around_box
from hiu_tf.models.hiu import build_hiu
from hiu_tf.runtime.crop import cut
from hiu_tf.runtime.predictor import Predictor
from hiu_tf.tasks import PAPER, find_tasks

SIZE = 64


@pytest.fixture(scope="module")
def module(tiny_network, hand):
    return HIUModule(tiny_network, hand)


@pytest.fixture(scope="module")
def folder(tiny_model):
    return tiny_model / "1"


@pytest.fixture(scope="module")
def signatures(folder):
    loaded = tf.saved_model.load(str(folder))

    def call(name, **inputs):
        return {key: value.numpy() for key, value in loaded.signatures[name](**inputs).items()}

    return call


def scene(height=120, width=90, seed=1):
    """A smooth picture, for which all methods of resampling give nearly the same result."""
    small = np.random.default_rng(seed).integers(0, 255, (8, 6, 3), np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def encoded(picture, kind="PNG", **options):
    content = io.BytesIO()
    Image.fromarray(picture).save(content, kind, **options)
    return content.getvalue()


def shape_of(symbols, vertices):
    known = {"S": SIZE, "S/2": SIZE // 2, "V": vertices, "B": -1, "H": -1, "W": -1}
    return [known.get(symbol, symbol) for symbol in symbols]


def test_the_export_keeps_the_contract(folder, hand):
    """Names, dtypes and shapes as the server will see them, read from the file itself."""
    saved = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    graph = saved.meta_graphs[0]
    assert list(graph.meta_info_def.tags) == ["serve"]
    defined = {name: s for name, s in graph.signature_def.items() if not name.startswith("__")}
    assert set(defined) == set(contract())
    for name, promise in contract().items():
        assert defined[name].method_name == "tensorflow/serving/predict"
        for side in ("inputs", "outputs"):
            found = getattr(defined[name], side)
            assert set(found) == set(promise[side]), (name, side)
            for key, tensor in promise[side].items():
                assert tf.as_dtype(found[key].dtype).name == tensor["dtype"], (name, key)
                dimensions = [d.size for d in found[key].tensor_shape.dim]
                assert dimensions == shape_of(tensor["shape"], len(hand.vertices)), (name, key)
                assert tensor["shape"][0] == "B", "batching and row JSON need a batch in front"
                assert key.endswith("_bytes") == (tensor["dtype"] == "string")
    assert (folder / "saved_model.pb").stat().st_size < 15e6


def test_the_card_beside_it_tells_a_client_everything(folder):
    card = json.loads((folder / "assets.extra" / "model.json").read_text())
    assert card["signatures"] == contract()
    assert len(card["faces"]) > 1000
    assert len(card["joint_names"]) == 21
    assert len(card["bones"]) == 20


def test_a_side_is_told_with_the_mesh_too(hand, rng):
    """REST clients ask for the signature mesh, gRPC clients for tensor."""
    tasks = [*(task.name for task in PAPER), "side"]
    network = build_hiu(model_config("tiny", {"tasks": tasks}))
    signatures = HIUModule(network, hand, find_tasks(tasks)).signatures()
    for name in ("mesh", "tensor"):
        assert set(signatures[name].structured_outputs) == set(contract(find_tasks(tasks))[name]["outputs"])
    crop = rng.integers(0, 255, (SIZE, SIZE, 3), np.uint8)
    mesh = signatures["mesh"](tf.constant([cv2.imencode(".png", crop[..., ::-1])[1].tobytes()]))
    tensor = signatures["tensor"](tf.constant(crop[np.newaxis] / np.float32(255)))
    np.testing.assert_allclose(mesh[keys.RIGHT], tensor[keys.RIGHT], atol=1e-5)


def test_one_broken_picture_does_not_fail_its_neighbours(signatures):
    good, jpeg = encoded(scene()), encoded(scene(), "JPEG")
    broken = [b"", b"no picture", jpeg[: len(jpeg) // 2], good[:40], jpeg]
    found = signatures("mesh", image_bytes=tf.constant([good, *broken]))
    np.testing.assert_array_equal(found["image_valid"], [True, False, False, False, False, True])
    np.testing.assert_array_equal(found["image_size"][[0, 1, 5]], [[120, 90], [0, 0], [120, 90]])
    alone = signatures("mesh", image_bytes=tf.constant([good]))
    for name in alone:
        np.testing.assert_allclose(found[name][:1], alone[name], atol=1e-3, err_msg=name)
    assert all(np.isfinite(value).all() for value in found.values())


@pytest.mark.parametrize(
    "kind", ("PNG", "BMP", "GIF", "grey PNG", "alpha PNG", "16 bit PNG", "grey JPEG", "1x1", "CMYK JPEG", "20,000 px")
)
def test_kinds_of_pictures(kind, signatures):
    picture = scene()
    files = {
        "PNG": lambda: encoded(picture), "BMP": lambda: encoded(picture, "BMP"), "GIF": lambda: encoded(picture, "GIF"),
        "grey PNG": lambda: encoded(picture[..., 0]), "grey JPEG": lambda: encoded(picture[..., 0], "JPEG"),
        "alpha PNG": lambda: encoded(np.dstack([picture, picture[..., 0]])),
        "16 bit PNG": lambda: cv2.imencode(".png", picture.astype(np.uint16) * 257)[1].tobytes(),
        "1x1": lambda: encoded(picture[:1, :1]),
        "CMYK JPEG": lambda: _cmyk(picture),
        "20,000 px": lambda: encoded(np.full((40, 20_000, 3), 90, np.uint8), "JPEG"),
    }  # fmt: skip
    found = signatures("serving_default", image_bytes=tf.constant([files[kind](), encoded(picture)]))
    assert found["image_valid"][1]
    assert np.isfinite(found[keys.JOINTS_3D]).all()
    assert found["image_valid"][0], f"{kind} is read"


def _cmyk(picture):
    content = io.BytesIO()
    Image.fromarray(picture).convert("CMYK").save(content, "JPEG")
    return content.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ("JPEG", "PNG"))
def test_exif_is_honoured_as_pillow_does(orientation, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(scene(), kind, exif=exif.tobytes(), **({"quality": 95} if kind == "JPEG" else {}))
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB"), np.float32)
    picture, valid = decode(tf.constant(content))
    assert valid
    assert picture.shape == expected.shape
    assert np.abs(picture.numpy() - expected).mean() < (2 if kind == "JPEG" else 1e-6)  # two JPEG decoders


@pytest.mark.parametrize(("main", "thumbnail"), [(1, 6), (6, 8), (3, 6)])
@pytest.mark.parametrize("order", "<>")
def test_the_orientation_of_a_thumbnail_is_not_the_pictures(main, thumbnail, order):
    """Programs that turn the pixels often reset the first directory alone."""
    entry = lambda value, after: struct.pack(f"{order}HHHIHHI", 1, 0x0112, 3, 1, value, 0, after)
    tiff = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}I", 8) + entry(main, 26) + entry(thumbnail, 0)
    content = encoded(scene(), "JPEG", exif=b"Exif\0\0" + tiff, quality=95)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB"), np.float32)
    picture, _ = decode(tf.constant(content))
    assert picture.shape == expected.shape and np.abs(picture.numpy() - expected).mean() < 2


@pytest.mark.parametrize("bad", ("box", "intrinsics"))
def test_numbers_that_are_none_spoil_no_other_picture(bad, signatures):
    """The server joins the requests of several clients to one batch."""
    good = {
        "image_bytes": tf.constant([encoded(scene())] * 2), "box": np.tile([[5.0, 5, 40, 40]], (2, 1)).astype(np.float32),
        "side": tf.zeros([2], tf.int32), "intrinsics": np.tile(np.float32(K), (2, 1, 1)),
    }  # fmt: skip
    expected = signatures("located", **{name: tf.constant(value) for name, value in good.items()})
    for values in ([np.nan], [np.inf], [0.0]):
        spoilt = {name: np.array(value) for name, value in good.items()}
        spoilt[bad][1, ..., 1] = values[0]
        found = signatures("located", **{name: tf.constant(value) for name, value in spoilt.items()})
        for name, value in found.items():
            np.testing.assert_array_equal(value[0], expected[name][0], err_msg=name)
            assert np.isfinite(np.asarray(value[1], float)).all(), name


@pytest.mark.parametrize("batch", (0, 1, 64))
@pytest.mark.parametrize("name", sorted(contract()))
def test_batches_of_any_size(name, batch, signatures):
    inputs = {
        "image_bytes": tf.constant([encoded(scene())] * batch, tf.string, [batch]),
        "box": tf.zeros([batch, 4]), "side": tf.zeros([batch], tf.int32), "intrinsics": tf.zeros([batch, 3, 3]),
        "images": tf.zeros([batch, 80, 60, 3], tf.uint8), "image": tf.zeros([batch, SIZE, SIZE, 3]),
    }  # fmt: skip
    wanted = contract()[name]["inputs"]
    found = signatures(name, **{key: tf.cast(inputs[key], wanted[key]["dtype"]) for key in wanted})
    assert {len(value) for value in found.values()} == {batch}


def test_a_tensor_of_another_size_is_refused_in_words(signatures):
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"image must be \[batch, 64, 64, 3\] float32"):
        signatures("tensor", image=tf.zeros([1, 32, 64, 3]))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"image must be \[batch, 64, 64, 3\] uint8"):
        signatures("tensor_uint8", image=tf.zeros([1, 32, 64, 3], tf.uint8))


def test_equal_numbers_everywhere(signatures, module):
    picture = scene(SIZE, SIZE)
    crop = tf.constant(picture[np.newaxis].astype(np.float32) / 255)
    expected = {key: value.numpy() for key, value in (module.predict(crop) | module.dense(crop)).items()}
    content = tf.constant([encoded(picture)])
    for name, inputs in (
        ("tensor", {"image": crop}), ("tensor_uint8", {"image": picture[np.newaxis]}), ("dense", {"image": crop}), ("images_uint8", {"images": picture[np.newaxis]}),
        ("serving_default", {"image_bytes": content}), ("mesh", {"image_bytes": content}),
    ):  # fmt: skip
        found = signatures(name, **{key: tf.convert_to_tensor(value) for key, value in inputs.items()})
        for key in set(found) & set(expected):
            np.testing.assert_allclose(found[key], expected[key], atol=2e-3, err_msg=f"{name}: {key}")


def test_masks_come_as_png_of_the_pictures_size(signatures, module):
    picture = scene(SIZE * 2, SIZE)
    found = signatures("mask", image_bytes=tf.constant([encoded(picture), b"broken"]))
    mask = cv2.imdecode(np.frombuffer(found["mask_png_bytes"][0], np.uint8), cv2.IMREAD_UNCHANGED)
    assert mask.shape == (SIZE * 2, SIZE)
    assert set(np.unique(mask)) <= {0, 255}
    assert cv2.imdecode(np.frombuffer(found["mask_png_bytes"][1], np.uint8), cv2.IMREAD_UNCHANGED).shape == (1, 1)


K = [[200.0, 0, 100], [0, 200, 80], [0, 0, 1]]


@pytest.mark.parametrize("box", ((40.0, 30.0, 70.0, 90.0), (-20.0, 100.0, 60.0, 70.0), (10.0, 10.0, 900.0, 700.0)))
@pytest.mark.parametrize("is_left", (False, True))
def test_crops_are_those_of_the_runtime(box, is_left):
    """Also for windows that exceed the picture, for large ones that are averaged first, and for the inverse mapping."""
    picture = scene(960, 1280, seed=7)
    crops, windows = cut_encoded(tf.constant([encoded(picture)]), tf.constant([box]), tf.constant([is_left]), SIZE)
    expected = around_box(box, SIZE, is_left)
    assert np.abs(crops[0].numpy() - cut(picture, expected)).mean() < 0.006
    points = np.array([[0.0, 0.0], [63.0, 0.0], [20.0, 40.0]], np.float32)
    np.testing.assert_allclose(windows.to_picture(points[np.newaxis], SIZE)[0], expected.to_picture(points), atol=1e-3)


@pytest.mark.parametrize("side", ("right", "left"))
@pytest.mark.parametrize("camera", (None, K))
def test_located_equals_the_runtime(side, camera, folder, signatures):
    """The server's results for box, side and K equal those of the predictor without TensorFlow.

    The window is as wide as the crop and aligned with the picture's pixels, so that both cut the same numbers. Only
    differences remain that come from TFLite's order of computation.
    """
    picture, side_of_box = scene(160, 200, seed=5), SIZE / 1.5
    box = (90.5 - side_of_box / 2, 70.5 - side_of_box / 2, side_of_box, side_of_box)
    runtime = Predictor(folder.parent / "tiny_float32.tflite").predict(picture, box, side, camera, upright=False)[0]
    found = signatures(
        "located", image_bytes=tf.constant([encoded(picture)]), box=tf.constant([box], tf.float32),
        side=tf.constant([int(side == "left")]), intrinsics=tf.constant([camera or np.zeros((3, 3)).tolist()], tf.float32),
    )  # fmt: skip
    for key, found_there, limit in (
        (keys.JOINTS_2D, runtime.joints_2d, 1e-3),
        (keys.JOINTS_3D, runtime.joints_3d, 3e-6),
        (keys.VERTICES, runtime.vertices, 3e-6),
    ):
        np.testing.assert_allclose(found[key][0], found_there, atol=limit, err_msg=key)


V1_LOADER = """
import json, sys
import numpy as np, tensorflow as tf
assert not any(name.startswith("hiu_tf") for name in sys.modules)
sys.modules["hiu_tf"] = None
with tf.compat.v1.Session(graph=tf.Graph()) as session:
    graph = tf.compat.v1.saved_model.loader.load(session, ["serve"], sys.argv[1])
    signature = graph.signature_def["serving_default"]
    feed = {signature.inputs["image_bytes"].name: [open(sys.argv[2], "rb").read()]}
    print(json.dumps(session.run(signature.outputs["joints_3d"].name, feed).tolist()))
"""


@pytest.mark.long
def test_the_servers_loader_needs_nothing_of_ours(folder, signatures, tmp_path):
    (tmp_path / "picture.png").write_bytes(encoded(scene()))
    command = [sys.executable, "-c", V1_LOADER, str(folder), str(tmp_path / "picture.png")]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    expected = signatures("serving_default", image_bytes=tf.constant([encoded(scene())]))[keys.JOINTS_3D]
    np.testing.assert_allclose(json.loads(result.stdout), expected, atol=1e-5)


def test_the_c_api_loads_and_runs_it(folder, signatures, module):
    """TF_LoadSessionFromSavedModel is the C++ loader of the server; no Python of TensorFlow takes part."""
    crop = np.random.default_rng(2).random((1, SIZE, SIZE, 3), np.float32)
    saved = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    signature = saved.meta_graphs[0].signature_def["tensor"]
    found = run_by_c_api(str(folder), signature.inputs["image"].name, crop, signature.outputs["joints_3d"].name)
    np.testing.assert_allclose(
        found.reshape(1, 21, 3), signatures("tensor", image=tf.constant(crop))[keys.JOINTS_3D], atol=1e-5
    )


class Output(ctypes.Structure):
    _fields_ = [("operation", ctypes.c_void_p), ("index", ctypes.c_int)]


def run_by_c_api(folder, feed, values, fetch):
    """One float tensor in, one out."""
    library = ctypes.CDLL(str(Path(tf.__file__).parent / "libtensorflow_cc.so.2"))
    for name in (
        "NewStatus",
        "NewGraph",
        "NewSessionOptions",
        "LoadSessionFromSavedModel",
        "GraphOperationByName",
        "AllocateTensor",
        "TensorData",
        "Message",
    ):
        getattr(library, f"TF_{name}").restype = ctypes.c_char_p if name == "Message" else ctypes.c_void_p
    library.TF_TensorByteSize.restype = ctypes.c_size_t
    pointer = ctypes.c_void_p
    status, graph = pointer(library.TF_NewStatus()), pointer(library.TF_NewGraph())
    tags = (ctypes.c_char_p * 1)(b"serve")
    session = pointer(
        library.TF_LoadSessionFromSavedModel(
            pointer(library.TF_NewSessionOptions()), None, folder.encode(), tags, 1, graph, None, status
        )
    )
    assert library.TF_GetCode(status) == 0, library.TF_Message(status)

    def place(name):
        operation, _, index = name.partition(":")
        found = library.TF_GraphOperationByName(graph, operation.encode())
        assert found, name
        return Output(found, int(index))

    sizes = (ctypes.c_int64 * values.ndim)(*values.shape)
    tensor = pointer(library.TF_AllocateTensor(1, sizes, values.ndim, ctypes.c_size_t(values.nbytes)))
    ctypes.memmove(library.TF_TensorData(tensor), values.ctypes.data, values.nbytes)
    results = (pointer * 1)()
    library.TF_SessionRun(
        session, None, ctypes.byref(place(feed)), ctypes.byref(tensor), 1, ctypes.byref(place(fetch)), results, 1, None, 0, None, status,
    )  # fmt: skip
    assert library.TF_GetCode(status) == 0, library.TF_Message(status)
    result = pointer(results[0])
    data = ctypes.string_at(library.TF_TensorData(result), library.TF_TensorByteSize(result))
    return np.frombuffer(data, np.float32)
