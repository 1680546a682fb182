"""Mesh files are read by other libraries and posed by the rules of their format."""

import dataclasses
import json
import subprocess
import sys

import cv2
import numpy as np
import pygltflib
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from hiu_tf.cli import main as hiu
from hiu_tf.conventions.skeleton import MODEL_TO_KEYPOINTS
from hiu_tf.errors import UserError
from hiu_tf.geometry.rotation import quaternion
from hiu_tf.hand import poses
from hiu_tf.hand.atlas import atlas_of, procedural_atlas, skin_picture
from hiu_tf.hand.gltf import SkinnedHand, four_bones, glb_bytes, posed_once, write_glb
from hiu_tf.hand.layer import pose_hand
from hiu_tf.hand.model import mirror_hand, mirror_rotations
from hiu_tf.pictures import decode_picture
from hiu_tf.programs.hand_mesh import main as hand_mesh
from tests import gltf_reader


def test_glb_skinned_by_its_own_rules_is_the_posed_hand(hand, rng, tmp_path):
    parameters = rng.normal(size=10), poses.sample_pose(rng), rng.normal(size=3), np.array([0.1, -0.2, 0.7])
    write_glb(tmp_path / "hand.glb", hand, *parameters)
    file = gltf_reader.read((tmp_path / "hand.glb").read_bytes())
    linear = dataclasses.replace(hand, pose_directions=np.zeros_like(hand.pose_directions))
    expected = pose_hand(linear, *(np.asarray(p, np.float32)[None] for p in parameters))["vertices"][0].numpy()
    source = procedural_atlas().source
    np.testing.assert_allclose(gltf_reader.skinned(file), expected[source] * [1, -1, -1], atol=2e-5)
    names = [file.document["nodes"][joint]["name"] for joint in file.document["skins"][0]["joints"]]
    assert names[0] == "wrist" and len(set(names)) == 16


@pytest.mark.parametrize("side", ("right", "left"))
def test_the_texture_of_a_glb_is_the_skin(hand, tmp_path, side):
    model = hand if side == "right" else mirror_hand(hand)
    write_glb(tmp_path / "hand.glb", model, np.zeros(10), np.zeros((15, 3)), np.zeros(3), np.zeros(3))
    mesh = trimesh.load(str(tmp_path / "hand.glb"), force="mesh", process=False)
    atlas = atlas_of(model)
    np.testing.assert_allclose(mesh.visual.uv, atlas.uv * [1, -1] + [0, 1], atol=1e-6)  # trimesh's v points up
    np.testing.assert_allclose(mesh.vertices, model.vertices[atlas.source], atol=1e-6)
    np.testing.assert_array_equal(mesh.faces, atlas.faces)
    picture = np.asarray(mesh.visual.material.baseColorTexture.convert("RGB"))
    np.testing.assert_array_equal(picture, decode_picture(skin_picture()))
    assert mesh.volume > 0
    mesh.merge_vertices(merge_tex=True, merge_norm=True)
    assert mesh.is_watertight and len(mesh.vertices) == len(hand.vertices)
    document = pygltflib.GLTF2().load(str(tmp_path / "hand.glb"))
    image = document.bufferViews[document.images[0].bufferView]
    blob = document.binary_blob()[image.byteOffset : image.byteOffset + image.byteLength]
    assert blob == skin_picture() and document.images[0].mimeType == "image/png"


def test_a_mesh_without_atlas_keeps_its_colours(hand, tmp_path):
    model = dataclasses.replace(hand, faces=np.roll(hand.faces, 1, axis=0))
    write_glb(tmp_path / "hand.glb", model, np.zeros(10), np.zeros((15, 3)), np.zeros(3), np.zeros(3))
    file = gltf_reader.read((tmp_path / "hand.glb").read_bytes())
    attributes = file.document["meshes"][0]["primitives"][0]["attributes"]
    assert "TEXCOORD_0" not in attributes and "images" not in file.document
    np.testing.assert_allclose(file.array(attributes["COLOR_0"]), model.colors**2.2, atol=1e-3)


@pytest.mark.parametrize("side", ("right", "left"))
def test_a_moving_glb_has_the_joints_of_the_posed_hand(hand, rng, side):
    """In each key frame the animation's joints are those of the hand layer; between two they are between them."""
    count, model = 7, hand if side == "right" else mirror_hand(hand)
    shape, translation = rng.normal(size=10), rng.normal(scale=0.1, size=(count, 3)) + [0, 0, 0.6]
    turn = np.cumsum(rng.normal(scale=0.4, size=(count, 3)), axis=0)
    pose = np.stack([poses.sample_pose(rng) for _ in range(count)])
    pose = pose if side == "right" else mirror_rotations(pose)
    turns = quaternion(np.concatenate([turn[:, np.newaxis], pose], axis=1))
    times = np.sort(rng.uniform(0, 3, count))
    moving = SkinnedHand(model, shape, turns, translation, times, "hand")
    other = posed_once(model, shape, pose[0], turn[0], translation[0])
    file = gltf_reader.read(glb_bytes([moving, other]))
    layer = pose_hand(model, np.tile(shape, (count, 1)), pose, turn, translation)["joints_3d"].numpy()
    expected = np.empty((count, 16, 3))
    for keypoint, joint in enumerate(MODEL_TO_KEYPOINTS):
        if joint < 16:
            expected[:, joint] = layer[:, keypoint] * [1, -1, -1]
    for k in range(count):
        np.testing.assert_allclose(gltf_reader.joints(file, time=float(np.float32(times[k]))), expected[k], atol=1e-5)
    middle = gltf_reader.joints(file, time=0.5 * (times[0] + times[1]))
    np.testing.assert_allclose(middle[0], expected[:2, 0].mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(gltf_reader.joints(file, hand=1), expected[0], atol=1e-5)
    document = pygltflib.GLTF2().load_from_bytes(glb_bytes([moving, other]))
    assert len(document.animations) == 1 and len(document.animations[0].channels) == 17
    assert len(document.images) == 1 and len(document.meshes) == 2


def test_quaternions_are_those_of_scipy(rng):
    turns = np.concatenate([np.zeros((1, 3)), rng.normal(size=(50, 3)), 1e-9 * rng.normal(size=(3, 3))])
    np.testing.assert_allclose(quaternion(turns), Rotation.from_rotvec(turns).as_quat(canonical=True), atol=1e-12)


def test_linear_skinning_is_a_few_millimetres_off(hand):
    """The numbers of docs/hand.md: what a GLB loses without pose blend shapes, in natural poses."""
    rng, count = np.random.default_rng(3), 200
    pose = np.stack([poses.sample_pose(rng) for _ in range(count)]).astype(np.float32)
    zeros = np.zeros((count, 10), np.float32)
    linear = dataclasses.replace(hand, pose_directions=np.zeros_like(hand.pose_directions))
    found, true = (pose_hand(m, zeros, pose, zeros[:, :3], zeros[:, :3])["vertices"].numpy() for m in (linear, hand))
    distance = 1000 * np.linalg.norm(found - true, axis=-1)
    assert distance.mean() < 0.45 and np.quantile(distance, 0.99) < 3 and distance.max() < 7
    bones, weights = four_bones(hand.weights)
    full = np.zeros_like(hand.weights)
    np.add.at(full, (np.arange(len(full))[:, np.newaxis], bones), weights)
    np.testing.assert_allclose(full, hand.weights, atol=1e-6)  # four bones lose nothing of our own hand


def test_meshes_need_no_other_library(tmp_path):
    """OBJ and GLB are written with what `pip install hiu-tf` installs."""
    code = (
        "import sys\n"
        "for name in ('scipy', 'tensorflow', 'tf_keras', 'trimesh', 'pygltflib'): sys.modules[name] = None\n"
        "from hiu_tf.cli import main\n"
        f"sys.exit(main(['mesh', {str(tmp_path / 'a.glb')!r}]) or main(['mesh', {str(tmp_path / 'a.obj')!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert trimesh.load(str(tmp_path / "a.glb"), force="mesh").volume > 0


@pytest.mark.parametrize("suffix", (".obj", ".ply", ".glb"))
def test_program_writes_files_that_another_library_reads(hand, tmp_path, suffix):
    target = tmp_path / f"hand{suffix}"
    assert hand_mesh([str(target), "--gesture", "victory"]) == 0
    mesh = trimesh.load(str(target), force="mesh", process=False)
    mesh.merge_vertices(merge_tex=True, merge_norm=True)  # a seam doubles vertices
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
