"""GLB files of predictions: their joints are those of the predictions, in pictures and through clips."""

import io
import json
import struct
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from hiu_tf.cli import main
from hiu_tf.conventions.skeleton import MODEL_TO_KEYPOINTS
from hiu_tf.errors import UserError
from hiu_tf.hand.gltf import glb_bytes
from hiu_tf.runtime.files import _Record
from hiu_tf.runtime.moving import Movement, _filtered, picture_glb, usual_camera
from hiu_tf.runtime.prediction import Hands
from hiu_tf.runtime.predictor import Predictor
from hiu_tf.runtime.shipped import shipped_model
from tests import gltf_reader

RATE = 10.0


@pytest.fixture(scope="module")
def predictor():
    return Predictor(shipped_model(), threads=1)


@pytest.fixture(scope="module")
def picture():
    """A rendered right hand, [H, W, 3] RGB."""
    from pipelines.datasets import open_split

    _, sample = next(iter(open_split("synthetic", "1", "val").outcomes()))
    return cv2.imdecode(np.frombuffer(sample.image, np.uint8), cv2.IMREAD_COLOR)[..., ::-1].copy()


def test_a_picture_without_hands_is_a_valid_file():
    """glTF 2.0 allows no empty lists and no empty buffer."""
    content = Hands([], np.zeros((20, 30, 3), np.uint8)).to_glb()
    size, kind = struct.unpack_from("<II", content, 12)
    document = json.loads(content[20:])
    assert kind == 0x4E4F534A and len(content) == 20 + size == struct.unpack_from("<I", content, 8)[0]
    assert [] not in document.values() and "buffers" not in document and "children" not in document["nodes"][0]


def test_movements_are_gaussian_means_after_a_gap_too(rng):
    """Seen once, then again a second later, at 30 frames a second."""
    times, values = np.concatenate([[0.0], 1 + np.arange(40) / 30]), rng.normal(size=(41, 2))
    weights = np.exp(-0.5 * ((times[:, None] - times) / 0.1) ** 2)
    expected = weights @ values / weights.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(_filtered(values, times, 0.1), expected, atol=0.01)


def model_joints(keypoints):
    """The 16 joints of the model among 21 key points [21, 3] of our camera frame, with y up."""
    found = np.empty((16, 3))
    for keypoint, joint in enumerate(MODEL_TO_KEYPOINTS):
        if joint < 16:
            found[joint] = keypoints[keypoint] * [1, -1, -1]
    return found


def test_the_hands_of_a_picture_stand_where_they_are_seen(predictor, picture):
    """A right hand and its mirror image in one picture: both have the joints of the prediction in the camera's frame."""
    wide = np.concatenate([picture, picture[:, ::-1]], axis=1)
    K, width = usual_camera(wide), picture.shape[1]
    box = (0, 0, width, picture.shape[0])
    hands = [predictor.predict(wide, box, "right", K)[0], predictor.predict(wide, (width, *box[1:]), "left", K)[0]]
    content = picture_glb(hands)
    file = gltf_reader.read(content)
    for number, hand in enumerate(hands):
        found = gltf_reader.joints(file, number)
        np.testing.assert_allclose(found, model_joints(hand.joints_3d), atol=1e-4)
        seen = found * [1, -1, -1] @ K.T
        wanted = model_joints(np.pad(hand.joints_2d_projected, ((0, 0), (0, 1)))) * [1, -1, -1]
        assert np.abs(seen[0, :2] / seen[0, 2] - wanted[0, :2]).max() < 0.1  # the wrist keeps its pixel
        mesh = gltf_reader.skinned(file, number)
        assert np.linalg.norm(mesh.mean(axis=0) - hand.vertices.mean(axis=0) * [1, -1, -1]) < 0.002
    names = [mesh["name"] for mesh in file.document["meshes"]]
    assert names == ["hand_1_right", "hand_2_left"] and "animations" not in file.document
    with pytest.raises(UserError, match="give this hand model"):
        Movement("hand").add(0.0, replace(hands[0], model=None))


@pytest.mark.parametrize("side", ("right", "left"))
def test_a_clips_hand_moves_as_it_was_predicted(predictor, picture, tmp_path, side):
    """The animation's joints in each frame are those of the .jsonl beside it, but for the one shape of all frames."""
    shown = picture if side == "right" else picture[:, ::-1]
    height, width = picture.shape[:2]
    clip = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(clip), cv2.VideoWriter_fourcc(*"MJPG"), RATE, (2 * width, height))
    for k in range(8):
        canvas = np.full((height, 2 * width, 3), 150, np.uint8)
        canvas[:, 6 * k : 6 * k + width] = shown
        writer.write(np.ascontiguousarray(canvas[..., ::-1]))
    writer.release()
    out, K = tmp_path / "out", f"{width},{width},{width},{height / 2}"
    command = [
        "predict",
        str(clip),
        "--out",
        str(out),
        "--K",
        K,
        "--side",
        side,
        "--min-score",
        "0",
        "--format",
        "png,json,glb",
    ]
    command += ["--box", f"0,0,{width},{height}", "--threads", "1"]
    assert main([*command, "--smooth", "0"]) == 0
    frames = [json.loads(line) for line in (out / "clip.jsonl").read_text().splitlines()[1:]]
    rows = [frame["hands"][0] for frame in frames if frame["hands"]]
    times = [frame["frame"] / RATE for frame in frames if frame["hands"]]
    assert len(rows) >= 6 and rows[0]["side"] == side
    file = gltf_reader.read((out / "clip_hand_1.glb").read_bytes())
    animation = file.document["animations"][0]
    np.testing.assert_allclose(file.array(animation["samplers"][0]["input"]), times, atol=1e-6)
    for time, row in zip(times, rows):
        found, wanted = gltf_reader.joints(file, time=time), model_joints(np.array(row["joints_3d"]))
        np.testing.assert_allclose(found[0], wanted[0], atol=1e-4)
        assert np.linalg.norm(found - wanted, axis=-1).mean() < 0.004
    travel = gltf_reader.joints(file, time=times[-1])[0] - gltf_reader.joints(file, time=times[0])[0]
    assert travel[0] > 0.02  # the hand moved right
    (out / "clip_hand_7.glb").write_text("the user's own")
    assert main([*command, "--smooth", "1"]) == 1 and (out / "clip_hand_7.glb").read_text() == "the user's own"
    (out / "clip_hand_7.glb").write_bytes((out / "clip_hand_1.glb").read_bytes())  # of an earlier run
    assert main([*command, "--smooth", "1"]) == 0
    assert [path.name for path in out.glob("*.glb")] == ["clip_hand_1.glb"]
    steady = gltf_reader.read((out / "clip_hand_1.glb").read_bytes())
    assert _jitter(steady) < 0.5 * _jitter(file)


def test_a_hand_whose_side_was_corrected_is_written_as_the_one_that_it_was_longer(predictor, picture):
    """Key frames of both sides in one file would turn the hand inside out."""
    box = (0, 0, *picture.shape[1::-1])
    right, left = (replace(predictor.predict(picture, box, side)[0], number=1) for side in ("right", "left"))
    film = SimpleNamespace(frames=0)
    film.write = lambda *_: setattr(film, "frames", film.frames + 1)
    record = _Record(film, io.StringIO(), RATE, compact=True, meshes=True)
    for hand in (left, right, right):
        record.add(Hands([hand], picture))
    (move,) = record.moves().values()
    file = gltf_reader.read(glb_bytes([move.skinned(0.0)]))
    assert len(move) == 2 and [mesh["name"] for mesh in file.document["meshes"]] == ["hand_1_right"]


def _jitter(file):
    """Mean second difference of the wrist's place over the key frames."""
    track = file.document["animations"][0]["samplers"][-1]
    return np.abs(np.diff(file.array(track["output"]), 2, axis=0)).mean()


def test_a_picture_becomes_a_glb_by_command(picture, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), picture[..., ::-1])
    out = tmp_path / "out"
    size = f"0,0,{picture.shape[1]},{picture.shape[0]}"
    assert main(["predict", str(tmp_path / "a.png"), "--box", size, "--out", str(out), "--format", "png,json,glb"]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["a.glb", "a.json", "a.png"]
    assert gltf_reader.read((out / "a.glb").read_bytes()).document["images"]
