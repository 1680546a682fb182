"""Mesh files are read by other libraries and posed by the rules of their format."""

import dataclasses
import json

import cv2
import numpy as np
import pygltflib
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from hiu_tf.cli import main as hiu
from hiu_tf.errors import UserError
from hiu_tf.hand import poses
from hiu_tf.hand.gltf import write_glb
from hiu_tf.hand.layer import pose_hand
from hiu_tf.programs.hand_mesh import main as hand_mesh


def accessor(document, number):
    entry = document.accessors[number]
    view = document.bufferViews[entry.bufferView]
    dtype = {pygltflib.UNSIGNED_BYTE: np.uint8, pygltflib.UNSIGNED_SHORT: np.uint16, pygltflib.FLOAT: np.float32}
    width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}[entry.type]
    values = np.frombuffer(
        document.binary_blob(), dtype[entry.componentType], entry.count * width, view.byteOffset or 0
    )
    return values.reshape(entry.count, width)


def world_matrices(document):
    """Node transforms by the glTF rules: parent x translation x rotation."""
    world = {}

    def visit(index, parent):
        node, local = document.nodes[index], np.eye(4)
        local[:3, :3] = Rotation.from_quat(node.rotation or [0, 0, 0, 1]).as_matrix()
        local[:3, 3] = node.translation or [0, 0, 0]
        world[index] = parent @ local
        for child in node.children or []:
            visit(child, world[index])

    for root in document.scenes[document.scene].nodes:
        visit(root, np.eye(4))
    return world


def test_glb_skinned_by_its_own_rules_is_the_posed_hand(hand, rng, tmp_path):
    parameters = rng.normal(size=10), poses.sample_pose(rng), rng.normal(size=3), np.array([0.1, -0.2, 0.7])
    write_glb(tmp_path / "hand.glb", hand, *parameters)
    document = pygltflib.GLTF2().load(str(tmp_path / "hand.glb"))
    attributes, skin, world = document.meshes[0].primitives[0].attributes, document.skins[0], world_matrices(document)
    rest, bones, weights = (
        accessor(document, n) for n in (attributes.POSITION, attributes.JOINTS_0, attributes.WEIGHTS_0)
    )
    inverse = accessor(document, skin.inverseBindMatrices).reshape(16, 4, 4).transpose(0, 2, 1)
    transforms = np.stack([world[joint] for joint in skin.joints]) @ inverse
    homogeneous = np.concatenate([rest, np.ones((len(rest), 1))], axis=1)
    found = np.einsum("vk,vkrc,vc->vr", weights, transforms[bones], homogeneous)[:, :3]
    linear = dataclasses.replace(hand, pose_directions=np.zeros_like(hand.pose_directions))
    expected = pose_hand(linear, *(np.asarray(p, np.float32)[None] for p in parameters))["vertices"][0].numpy()
    np.testing.assert_allclose(found, expected * [1, -1, -1], atol=2e-5)
    names = [document.nodes[joint].name for joint in skin.joints]
    assert names[0] == "wrist" and len(set(names)) == 16


@pytest.mark.parametrize("suffix", (".obj", ".ply", ".glb"))
def test_program_writes_files_that_another_library_reads(hand, tmp_path, suffix):
    target = tmp_path / f"hand{suffix}"
    assert hand_mesh([str(target), "--gesture", "victory"]) == 0
    mesh = trimesh.load(str(target), force="mesh", process=False)
    assert len(mesh.faces) == len(hand.faces) and mesh.is_watertight and mesh.volume > 0
    if suffix != ".glb":  # fingers up: y is the longest side
        assert np.argmax(np.ptp(mesh.vertices, axis=0)) == 1


def test_a_left_prediction_becomes_a_left_hand(hand, rng, tmp_path):
    right = {"shape": rng.normal(size=10), "pose": poses.sample_pose(rng), "rotation": rng.normal(size=3)}
    right["translation"] = np.array([0.1, 0.0, 0.6])
    points = {}
    for side in ("right", "left"):
        content = {key: value.tolist() for key, value in right.items()} | {"side": side, "hand": hand.name}
        (tmp_path / f"{side}.json").write_text(json.dumps({"hands": [content]}))
        assert hand_mesh([str(tmp_path / f"{side}.ply"), "--prediction", str(tmp_path / f"{side}.json")]) == 0
        mesh = trimesh.load(str(tmp_path / f"{side}.ply"), process=False)
        assert mesh.volume > 0
        points[side] = np.asarray(mesh.vertices)
    np.testing.assert_allclose(points["left"], points["right"] * [-1, 1, 1], atol=1e-5)


def test_what_hiu_predict_writes_becomes_a_mesh(tmp_path):
    """The program reads the JSON of `hiu predict`; its mesh has the size of the one in the OBJ beside it."""
    cv2.imwrite(str(tmp_path / "a.png"), np.full((90, 120, 3), 120, np.uint8))
    out = tmp_path / "out"
    assert hiu(["predict", str(tmp_path / "a.png"), "--box", "20,20,60,60", "--out", str(out), "--no-fit"]) == 0
    assert hand_mesh([str(tmp_path / "hand.obj"), "--prediction", str(out / "a.json")]) == 0
    found, wanted = (trimesh.load(str(p), force="mesh", process=False) for p in (tmp_path / "hand.obj", out / "a.obj"))
    assert found.volume == pytest.approx(wanted.volume, rel=0.02) and wanted.volume > 0
    with pytest.raises(UserError, match="holds 1 hand.s.: there is no number 2"):
        hand_mesh([str(tmp_path / "hand.obj"), "--prediction", str(out / "a.json"), "--number", "2"])


def test_wrong_names_and_shapes_are_refused(hand, tmp_path):
    with pytest.raises(UserError, match="must end in"):
        hand_mesh([str(tmp_path / "hand.stl")])
    with pytest.raises(UserError, match="pose must be"):
        write_glb(tmp_path / "hand.glb", hand, np.zeros(10), np.zeros(45), np.zeros(3), np.zeros(3))
    (tmp_path / "p.json").write_text("{}")
    with pytest.raises(UserError, match="no JSON of"):
        hand_mesh([str(tmp_path / "hand.obj"), "--prediction", str(tmp_path / "p.json")])
    assert not list(tmp_path.glob("hand*"))
