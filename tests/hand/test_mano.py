"""MANO files are read without chumpy, checked, repaired or refused. The tests write files in MANO's layout."""

import dataclasses
import io
import os
import pickle
import sys
import types
from contextlib import contextmanager

import numpy as np
import pytest
from scipy.spatial import Delaunay

from hiu_tf.conventions.skeleton import MODEL_PARENTS
from hiu_tf.errors import UserError
from hiu_tf.hand.mano import read_mano
from hiu_tf.hand.model import HandModelError, load_hand_model, save_hand_model
from hiu_tf.programs.convert_mano import main as convert_mano


class Reduced:
    """An object that is pickled as a call of `function`."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@contextmanager
def python2_packages():
    """Fake chumpy and SciPy modules whose classes pickle under the names that MANO's files hold."""
    names = {"chumpy.ch": "Ch", "chumpy.reordering": "Select", "scipy.sparse.csc": "csc_matrix"}
    before = {name: sys.modules.get(name) for name in ("chumpy", *names)}
    sys.modules["chumpy"] = types.ModuleType("chumpy")
    classes = {}
    for module, name in names.items():
        classes[name] = type(name, (), {"__module__": module})
        sys.modules[module] = types.ModuleType(module)
        setattr(sys.modules[module], name, classes[name])
    try:
        yield classes
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def with_state(cls, **state):
    made = cls()
    made.__dict__.update(state)
    return made


def open_tube():
    """A mesh of 778 vertices and 1538 faces with a boundary of 16 edges, as in MANO, in the shape of a mitten."""
    rng = np.random.default_rng(3)
    turn = np.arange(16) * (2 * np.pi / 16)
    circle = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    along = np.linspace(0.02, -0.17, 48)
    tube = np.array([[x, 0.015 * c[0], 0.04 * c[1]] for x in along for c in circle])
    inner = rng.uniform(-0.6, 0.6, (10, 2))
    cap = np.column_stack([np.full(10, -0.18), 0.015 * inner[:, 0], 0.04 * inner[:, 1]])
    ring = np.arange(16)
    faces = []
    for row in range(47):
        a, b = 16 * row + ring, 16 * row + np.roll(ring, -1)
        faces += [*np.column_stack([a, b, a + 16]), *np.column_stack([b, b + 16, a + 16])]
    triangles = Delaunay(np.concatenate([circle, inner])).simplices
    faces += [*np.concatenate([47 * 16 + ring, 768 + np.arange(10)])[triangles]]
    return np.concatenate([tube, cap]), np.array(faces)


def mano_arrays(left=False):
    """A model with MANO's keys, shapes and conventions, but our own values."""
    rng = np.random.default_rng(4)
    vertices, faces = open_tube()
    flip = np.array([-1.0 if left else 1.0, 1, 1])
    joints = np.array(
        [[0.0, 0, 0]] + [[-0.09 - 0.02 * k, 0, z] for z in (0.02, 0.0, -0.03, -0.02, 0.035) for k in range(3)]
    )
    regressor = np.zeros((16, 778))
    for row, joint in zip(regressor, joints):
        near = np.argsort(np.linalg.norm(vertices - joint, axis=1))[:40]
        row[near] = 1 / 40
    regressor[0] = 0
    regressor[0, np.argsort(np.abs(vertices[:, 0]))[:32]] = 1 / 32
    weights = rng.random((778, 16)) ** 8
    smooth = lambda n: np.sin(vertices @ rng.normal(scale=20, size=(3, 3 * n))).reshape(778, 3, n) * 0.002
    shape = smooth(10)
    shape[..., 0] = 0.05 * vertices  # the first direction is size
    return {
        "v_template": vertices * flip,
        "f": (faces[:, ::-1] if left else faces).astype(np.uint32),
        "shapedirs": shape * flip[:, None],
        "posedirs": smooth(135) * flip[:, None],
        "J_regressor": regressor,
        "weights": weights / weights.sum(axis=1, keepdims=True),
        "kintree_table": np.array([MODEL_PARENTS.astype(np.int64) % 2**32, np.arange(16)]),
        "hands_mean": rng.normal(size=45) * 0.1,
        "hands_components": np.linalg.qr(rng.normal(size=(45, 45)))[0],
        "hands_coeffs": rng.normal(size=(1554, 45)),
        "J": joints * flip,
        "bs_style": "lbs",
        "bs_type": "lrotmin",
    }


def write(path, arrays, **changes):
    """Writes a file as in the release: protocol 2, shapedirs as chumpy object, sparse regressor."""
    arrays = arrays | changes
    with python2_packages() as classes:
        if isinstance(arrays.get("shapedirs"), np.ndarray):
            order = np.random.default_rng(1).permutation(arrays["shapedirs"].size)
            hidden = with_state(classes["Ch"], x=arrays["shapedirs"].ravel()[np.argsort(order)], _dirty_vars={1})
            arrays["shapedirs"] = with_state(
                classes["Select"], a=hidden, idxs=order, preferred_shape=arrays["shapedirs"].shape
            )
        regressor = arrays.get("J_regressor")
        if isinstance(regressor, np.ndarray):
            column, row = np.nonzero(regressor.T)
            arrays["J_regressor"] = with_state(
                classes["csc_matrix"],
                data=regressor[row, column],
                indices=row.astype(np.int32),
                indptr=np.concatenate([[0], np.cumsum(np.bincount(column, minlength=regressor.shape[1]))]).astype(
                    np.int32
                ),
                _shape=regressor.shape,
            )
        path.write_bytes(pickle.dumps(arrays, protocol=2))
    return path


@pytest.fixture(scope="module")
def right():
    return mano_arrays()


@pytest.fixture(scope="module")
def right_file(right, tmp_path_factory):
    return write(tmp_path_factory.mktemp("mano") / "MANO_RIGHT.pkl", right)


def test_arrays_are_those_of_the_file(right, right_file):
    model, notes = read_mano(right_file)
    assert model.side == "right" and not notes
    for name, key in {
        "vertices": "v_template", "faces": "f", "shape_directions": "shapedirs", "pose_directions": "posedirs",
        "weights": "weights", "joint_regressor": "J_regressor", "pose_mean": "hands_mean", "pose_basis": "hands_components",
    }.items():  # fmt: skip
        np.testing.assert_allclose(getattr(model, name), right[key], atol=1e-7)
    np.testing.assert_allclose(model.pose_deviations, right["hands_coeffs"].std(axis=0), atol=1e-6)
    assert model.tips.tolist() == [744, 320, 443, 555, 672]


def test_reading_imports_neither_chumpy_nor_scipy_modules_of_the_file(right_file):
    read_mano(right_file)
    assert "chumpy" not in sys.modules and "chumpy.ch" not in sys.modules


def test_the_sign_error_of_left_files_is_mended(right_file, tmp_path):
    good = mano_arrays(left=True)
    bad = good["shapedirs"] * np.array([-1.0, 1, 1])[:, None]
    bad_file = write(tmp_path / "MANO_LEFT.pkl", good, shapedirs=bad)
    good_file = write(tmp_path / "good.pkl", good)
    for reference in (None, right_file):
        model, notes = read_mano(bad_file, other_hand=reference)
        assert model.side == "left" and "mended" in notes[0]
        np.testing.assert_allclose(model.shape_directions, good["shapedirs"], atol=1e-7)
        model, notes = read_mano(good_file, other_hand=reference)
        assert not notes
        np.testing.assert_allclose(model.shape_directions, good["shapedirs"], atol=1e-7)


def test_a_malicious_pickle_is_refused_by_name_and_not_run(right, tmp_path):
    trap = tmp_path / "trap"
    path = write(tmp_path / "bad.pkl", right, bs_style=Reduced(os.system, f"touch {trap}"))
    with pytest.raises(HandModelError, match=r"asks for (posix|nt)\.system"):
        read_mano(path)
    for function, arguments in ((eval, ("1",)), (getattr, (1, "real")), (np.load, ("x",))):
        path.write_bytes(pickle.dumps({"v_template": Reduced(function, *arguments)}, protocol=2))
        with pytest.raises(HandModelError, match="refused"):
            read_mano(path)
    assert not trap.exists()


def test_arrays_with_pointers_and_bombs_are_refused(tmp_path):
    """Object arrays over a buffer of the file's choice, memo indices and shapes that reserve gigabytes, cycles."""
    path = tmp_path / "bad.pkl"
    pointers = Reduced(np.ndarray, (1,), np.dtype("O"), b"A" * 8)
    with python2_packages() as classes:
        cycle = with_state(classes["Select"], idxs=np.arange(3), preferred_shape=(3,))
        cycle.a = cycle
        huge = {"data": np.ones(1), "indices": np.zeros(1, np.int32), "indptr": np.arange(2), "_shape": (2**31, 2**31)}
        contents = [
            pickle.dumps({"v_template": pointers}, protocol=2),
            pickle.dumps({"v_template": with_state(classes["Select"], a=pointers, idxs=0, preferred_shape=())}, 2),
            pickle.dumps({"v_template": cycle}, protocol=2),
            pickle.dumps({"v_template": with_state(classes["csc_matrix"], **huge)}, protocol=2),
            b"\x80\x02Nr\xff\xff\xff\x7f.",  # memo index 2^31 - 1
        ]
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(HandModelError):
            read_mano(path)


@pytest.mark.parametrize("content", ({}, {"v_template": "text"}, {"v_template": None}))
def test_dictionaries_that_are_not_mano(tmp_path, content):
    (tmp_path / "bad.pkl").write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(HandModelError, match="lacks|v_template"):
        read_mano(tmp_path / "bad.pkl")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 3821356\n", "Git LFS"),
        (b"<!DOCTYPE html><html>log in</html>", "web page"),
        (b"PK\x03\x04rest", "archive"),
        (b"", "empty"),
        (b"no pickle at all", "no pickle"),
        (pickle.dumps([1, 2, 3]), "list"),
    ],
)
def test_files_that_are_something_else(tmp_path, content, message):
    (tmp_path / "MANO_RIGHT.pkl").write_bytes(content)
    with pytest.raises(HandModelError, match=message):
        read_mano(tmp_path / "MANO_RIGHT.pkl")


@pytest.mark.parametrize("share", (0.2, 0.7, 0.999))
def test_a_truncated_file(right_file, tmp_path, share):
    content = right_file.read_bytes()
    (tmp_path / "short.pkl").write_bytes(content[: int(share * len(content))])
    with pytest.raises(HandModelError, match="too early|truncated"):
        read_mano(tmp_path / "short.pkl")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"v_template": np.zeros((6890, 3))}, "SMPL"),
        ({"v_template": np.zeros((10475, 3))}, "SMPL-X"),
        ({"weights": np.zeros((778, 15))}, "weights must be numbers of shape 778x16"),
        ({"hands_mean": np.full(45, np.nan)}, "hands_mean .* not finite"),
        ({"posedirs": "text"}, "posedirs"),
        ({"kintree_table": np.zeros((2, 16), np.int64)}, "kintree_table"),
    ],
)
def test_fields_that_are_wrong(right, tmp_path, changes, message):
    with pytest.raises(HandModelError, match=message):
        read_mano(write(tmp_path / "bad.pkl", right, **changes))


def test_a_missing_field_and_wrong_units(right, tmp_path):
    with pytest.raises(HandModelError, match="lacks posedirs"):
        read_mano(write(tmp_path / "bad.pkl", {k: v for k, v in right.items() if k != "posedirs"}))
    with pytest.raises(HandModelError, match="units"):
        read_mano(write(tmp_path / "mm.pkl", right, v_template=right["v_template"] * 1000))


def test_program_writes_a_model_that_loads(right_file, tmp_path, capsys):
    left = write(right_file.with_name("MANO_LEFT.pkl"), mano_arrays(left=True), shapedirs=mano_arrays()["shapedirs"])
    assert convert_mano([str(left), "--out", str(tmp_path / "left.npz"), "--tips", "manopth"]) == 0
    assert "compared with the right hand" in capsys.readouterr().out
    model = load_hand_model(tmp_path / "left.npz")
    assert model.tips.tolist() == [745, 317, 445, 556, 673]
    direct, _ = read_mano(left, "manopth", right_file)
    for field in dataclasses.fields(direct):
        np.testing.assert_array_equal(getattr(direct, field.name), getattr(model, field.name))


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(UserError, match="is no file: give MANO_RIGHT.pkl"):
        convert_mano([str(tmp_path), "--out", str(tmp_path / "x.npz")])
    with pytest.raises(UserError, match="is no file"):
        convert_mano([".", "--out", str(tmp_path / "x.npz")])


def test_a_damaged_npz_is_one_clear_error(hand, tmp_path):
    buffer = tmp_path / "hand.npz"
    save_hand_model(buffer, hand)
    content = buffer.read_bytes()
    for broken in (content[:1000], io.BytesIO(b"nothing").read(), b""):
        buffer.write_bytes(broken)
        with pytest.raises(HandModelError, match="cannot read"):
            load_hand_model(buffer)
