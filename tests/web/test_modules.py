"""The page's modules against their Python originals, on the same numbers. Needs Node.js, no browser."""

import copy
import json
import math
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

from hiu_tf.codecs import centres
from hiu_tf.conventions import keys
from hiu_tf.geometry.letterbox import letterbox
from hiu_tf.geometry.window import Window, around_box, around_hand
from hiu_tf.pictures import read_picture
from hiu_tf.runtime.crop import cut
from hiu_tf.runtime.evidence_fit import EvidenceFit
from hiu_tf.runtime.looks import Candidate, left_odds
from hiu_tf.runtime.predictor import Predictor
from hiu_tf.runtime.results import ARRAYS, UNITS, prediction_json
from hiu_tf.runtime.smoothing import MeanShape
from hiu_tf.web import build
from hiu_tf.web.hand import write_hand

SITE = Path(build.__file__).with_name("site")
NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="Node.js is not installed")


def javascript(body, **data):
    """Runs `body`, the body of a JavaScript function with the parameter `data`. Returns its result."""
    code = f"""
      import fs from "node:fs";
      const load = (name) => import("{(SITE / "js").as_uri()}/" + name);
      const data = JSON.parse(fs.readFileSync(0, "utf8"));
      const plain = (key, value) => ArrayBuffer.isView(value) ? Array.from(value) : value;
      const answer = await (async () => {{ {body} }})();
      console.log(JSON.stringify(answer, plain));
    """
    command = [NODE, "--input-type=module", "--eval", code]
    done = subprocess.run(command, input=json.dumps(data), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def as_canvas(picture):
    """A picture as canvases give it: RGBA."""
    rgba = np.dstack([picture, np.full(picture.shape[:2], 255, np.uint8)])
    return {"data": rgba.ravel().tolist(), "width": picture.shape[1], "height": picture.shape[0]}


def photo(rng, height, width):
    """Blurred noise, with edges."""
    picture = cv2.GaussianBlur(rng.integers(0, 255, (height, width, 3)).astype(np.uint8), (0, 0), 3)
    picture[height // 3 :, width // 4 : width // 2] = (200, 40, 90)
    return picture


def random_window(rng):
    centre = tuple(map(float, rng.uniform(20, 200, 2)))
    side, angle = float(rng.uniform(40, 300)), float(rng.uniform(-3, 3))
    return Window(centre, side, 128, bool(rng.integers(2)), angle)


@pytest.fixture(scope="module")
def predictor():
    return Predictor(threads=1)


@pytest.fixture(scope="module")
def looks(predictor):
    """Outputs of the network for the sample picture's hands: [(window, raw outputs)]."""
    picture = read_picture(SITE / "sample.jpg")
    found = predictor.detector.find(picture)
    assert len(found) >= 2
    looks = predictor._looks([Candidate(picture, predictor.windows(hand)) for hand in found])
    return [(look.window, look.raw) for look in looks]


#: Probability of a right hand in the crop of the likelier side, in that of the other one (None: it is not looked at), the
#: detector's probability of a left hand, and whether the other side is chosen.
CHOICES = [
    (0.99, None, 0.5, False),  # convinced
    (0.7, 0.2, 0.5, False),  # doubtful, but the other is worse
    (0.3, 0.8, 0.5, True),  # contradicted
    (0.15, 0.8, 0.9, False),  # the detector decides
    (0.8, None, 0.95, False),  # and convinces together with the network
]


@pytest.mark.parametrize(("first", "second", "left", "other"), CHOICES)
def test_the_side_is_chosen_alike(first, second, left, other, predictor):
    picture = np.zeros((64, 64, 3), np.uint8)
    found = centres.Found((10.0, 10.0, 40.0, 40.0), np.array([0.0, -1.0]), left, 1.0)
    answers = [first] if second is None else [first, second]
    scripted, script = copy.copy(predictor), iter(answers)
    scripted.network = lambda crops: {"joint_scores": np.full((1, 21), 0.5), "right": np.array([next(script)])}
    (look,) = scripted._looks([Candidate(picture, predictor.windows(found), left_odds(found))])
    assert not list(script)  # each answer was asked for, and no more: that would raise StopIteration
    assert look.window.mirrored == ((left > 0.5) != other)
    body = """const { Predictor, leftOdds } = await load('predictor.js');
      let calls = 0;
      const outputs = { joint_scores: Array(21).fill(0.5), joints_2d: Array(42).fill(1) };
      const hand = async () => ({ ...outputs, right: [data.answers[calls++]] });
      const predictor = new Predictor({ hand }, { hand: { window_scale: 1.5, image_size: 128 } }, null);
      const picture = { data: new Uint8ClampedArray(4 * 64 * 64), width: 64, height: 64 };
      const look = await predictor.best(picture, predictor.windows(data.found), leftOdds(data.found));
      return [calls, look.crop.mirrored, look.evidence];"""
    given = {"box": list(found.box), "direction": [0, -1], "left": left}
    calls, mirrored, evidence = javascript(body, answers=answers, found=given)
    assert (calls, mirrored) == (len(answers), look.window.mirrored)
    assert evidence == pytest.approx(look.evidence, rel=1e-6)


@pytest.mark.parametrize("shape", ((480, 640), (300, 171), (90, 120), (1000, 1500), (1301, 2003)))
def test_letterbox(rng, shape):
    picture = photo(rng, *shape)
    square, where = letterbox(picture, 224)
    body = "const { letterbox } = await load('letterbox.js'); return letterbox(data.picture, 224);"
    found = javascript(body, picture=as_canvas(picture))
    apart = np.abs(255 * np.reshape(found["values"], square.shape) - square)
    assert apart.max() <= 1.01 and apart.mean() < 0.1
    assert found["where"]["scale"] == pytest.approx(where.scale)
    assert tuple(found["where"]["offset"]) == where.offset


def test_decoded_maps(rng):
    maps = rng.normal(0, 2, (56, 56, centres.CHANNELS)).astype(np.float32)
    maps[..., centres.CENTRE] = cv2.GaussianBlur(rng.normal(0, 30, (56, 56)).astype(np.float32), (0, 0), 2)
    maps[..., centres.SIZE] = rng.uniform(1, 3, (56, 56, 2))
    expected = centres.decode(maps, 0.05)
    body = "const { decode } = await load('centres.js'); return decode(Float32Array.from(data.maps), 56, 0.05);"
    found = javascript(body, maps=maps.ravel().tolist())
    assert len(found) == len(expected) > 3
    for one, other in zip(found, expected):
        np.testing.assert_allclose(one["box"], other.box, rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(one["direction"], other.direction, atol=1e-5)
        assert (one["left"], one["score"]) == pytest.approx((other.left, other.score), abs=1e-5)


def test_windows(rng):
    windows = [random_window(rng) for _ in range(20)]
    joints = [rng.uniform(0, 200, (21, 2)) for _ in windows]
    boxes = [rng.uniform(1, 90, 4).tolist() for _ in windows]
    body = """const w = await load('window.js');
      return data.windows.map((window, k) => ({
        crop: w.toCrop(window, data.joints[k]),
        picture: w.toPicture(window, data.joints[k]),
        hand: w.aroundHand(data.joints[k], window, 1.5),
        box: w.aroundBox(data.boxes[k], 128, window.mirrored, window.angle, 1.5),
        other: w.otherSide(window),
        axes: w.alongPicture(window, data.joints[k].flat()),
      }));"""
    found = javascript(
        body, windows=[vars(window) for window in windows], joints=[points.tolist() for points in joints], boxes=boxes
    )
    for answer, window, points, box in zip(found, windows, joints, boxes):
        np.testing.assert_allclose(answer["crop"], window.to_crop(points), atol=1e-6)
        np.testing.assert_allclose(answer["picture"], window.to_picture(points), atol=1e-6)
        assert_same_window(answer["hand"], around_hand(points, window))
        assert_same_window(answer["box"], around_box(box, 128, window.mirrored, window.angle))
        assert_same_window(answer["other"], window.other_side())
        np.testing.assert_allclose(answer["axes"], (points.reshape(-1, 3) @ window.camera_axes().T).ravel(), atol=1e-3)


def assert_same_window(found, window):
    np.testing.assert_allclose(found["centre"], window.centre, atol=1e-6)
    assert (found["side"], found["mirrored"], found["size"]) == (pytest.approx(window.side), window.mirrored, 128)
    assert math.cos(found["angle"] - window.angle) == pytest.approx(1)


@pytest.mark.parametrize("side", (60.0, 200.0, 500.0, 1500.0, 9000.0))
def test_crops(rng, side):
    """Inside, over the edge, and from a picture that is made smaller first."""
    picture = photo(rng, 400, 520)
    window = Window((300.0, 180.0), side, 128, True, 0.7)
    body = "const { cut } = await load('crop.js'); return cut(data.picture, data.window);"
    found = np.reshape(javascript(body, picture=as_canvas(picture), window=vars(window)), (128, 128, 3))
    apart = 255 * np.abs(found - cut(picture, window))
    assert apart.mean() < 0.05 and apart.max() <= 8, (apart.mean(), apart.max())


def test_the_fit(predictor, looks, any_hand, tmp_path):
    """On the network's outputs, with free and with held shape: parameters, mesh and projected joints equal Python's."""
    hand = any_hand
    write_hand(tmp_path, hand)
    fit, shape = EvidenceFit(hand, predictor.camera), np.linspace(-0.8, 0.9, 10)
    body = """const { handArrays } = await load('fit/arrays.js'), { EvidenceFit } = await load('fit/fit.js');
      const numbers = fs.readFileSync(data.folder + '/hand.bin');
      const index = JSON.parse(fs.readFileSync(data.folder + '/hand.json'));
      const arrays = handArrays(index, numbers.buffer.slice(numbers.byteOffset, numbers.byteOffset + numbers.length));
      const fit = new EvidenceFit(arrays, data.camera);
      return data.raw.map((raw) => {
        for (const name of Object.keys(raw)) raw[name] = Float32Array.from([raw[name]].flat(3));
        return [fit.fitted(raw), fit.fitted(raw, data.shape)];
      });"""
    raws = [raw for _, raw in looks]
    found = javascript(
        body,
        folder=str(tmp_path),
        camera=predictor.camera.tolist(),
        shape=shape.tolist(),
        raw=[{name: values.tolist() for name, values in raw.items()} for raw in raws],
    )
    pairs = [(answer, raw, held) for both, raw in zip(found, raws) for answer, held in zip(both, (None, shape))]
    for answer, raw, held in pairs:
        expected = fit(raw, held)
        for name, far in ((keys.VERTICES, 5e-5), (keys.JOINTS_3D, 5e-5), (keys.POSE, 2e-3), (keys.ROTATION, 2e-3)):
            np.testing.assert_allclose(answer[name], np.ravel(expected[name]), atol=far, err_msg=name)
        np.testing.assert_allclose(answer[keys.SHAPE], expected[keys.SHAPE], atol=5e-3)
        apart = np.reshape(answer[keys.JOINTS_2D_PROJECTED], (21, 2)) - expected[keys.JOINTS_2D_PROJECTED]
        assert np.abs(apart).max() < 0.02
        assert np.abs(raw[keys.VERTICES] - expected[keys.VERTICES]).max() > 1e-3  # it has moved at all


def test_the_mean_shape(rng):
    shapes, scores, mean = rng.normal(size=(5, 10)), rng.uniform(0, 1, 5), MeanShape()
    body = """const { MeanShape } = await load('tracker.js'), shape = new MeanShape();
      return data.shapes.map((values, k) => shape.mean(values, data.scores[k]));"""
    found = javascript(body, shapes=shapes.tolist(), scores=scores.tolist())
    np.testing.assert_allclose(found, [mean(s, w) for s, w in zip(shapes, scores)], atol=1e-9)


def test_rotations_near_half_a_turn(rng):
    axes = rng.normal(size=(12, 3))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    vectors = axes * np.array([0, 1e-9, 1e-4, 0.5, 2, 3, 3.1, 3.1415, math.pi - 1e-7, math.pi, 1, 3.14159])[:, None]
    body = """const { axisAngleOf, rotationMatrix } = await load('fit/rotation.js');
      return data.vectors.map((v) => [rotationMatrix(v), rotationMatrix(axisAngleOf(rotationMatrix(v)))]);"""
    for matrix, again in javascript(body, vectors=vectors.tolist()):
        np.testing.assert_allclose(matrix, again, atol=1e-6)


@pytest.mark.parametrize("side", ("right", "left"))
def test_files(predictor, looks, tmp_path, side):
    """The JSON's fields are those of `hiu predict`; the GLB opens, and its normals point outside."""
    trimesh = pytest.importorskip("trimesh")
    window, raw = looks[0]
    hand = predictor._in_picture(np.zeros((9, 9, 3), np.uint8), window, raw, None)
    expected = json.loads(json.dumps(prediction_json(hand)))
    values = {name: np.asarray(getattr(hand, name)) for name in ARRAYS}
    flat = {name: v.tolist() if name.startswith("joints_2d") else v.ravel().tolist() for name, v in values.items()}
    body = """const files = await load('files.js');
      for (const name of ['vertices', 'joints_3d']) data.hand[name] = Float32Array.from(data.hand[name]);
      const bytes = files.glb({...data.hand, side: data.side}, data.faces);
      return [files.predictionJson('a.png', [data.hand], data.site), Array.from(bytes)];"""
    content, bytes_ = javascript(
        body,
        side=side,
        faces=predictor.faces.tolist(),
        site={"units": UNITS, "joint_names": ["wrist"]},
        hand=flat
        | {
            "side": hand.side,
            "side_score": hand.side_score,
            "score": hand.score,
            "gesture": hand.gesture,
            "pinch": hand.pinch,
            "frame": "crop",
            "hand": hand.hand,
            "crop": vars(window),
        },
    )
    (found,) = content.pop("hands")
    assert content == {"made_by": "hiu-tf", "picture": "a.png", "joint_names": ["wrist"], "units": UNITS}
    assert list(found) == list(expected)
    for name in ARRAYS:
        np.testing.assert_allclose(found[name], expected[name], atol=2e-6)
    named = ("side", "side_score", "score", "gesture", "pinch", "frame", "hand", "crop")
    assert {name: found[name] for name in named} == {name: expected[name] for name in named}
    (tmp_path / "hand.glb").write_bytes(bytes(bytes_))
    mesh = trimesh.load(tmp_path / "hand.glb", force="mesh", process=False)
    assert (len(mesh.vertices), len(mesh.faces)) == (1500, len(predictor.faces))
    outside = mesh.volume > 0
    assert outside == (side == hand.side)  # the same vertices, taken for the other side, are inside out
    assert np.mean(np.sum(mesh.vertex_normals * mesh.vertex_normals, axis=1)) == pytest.approx(1, abs=1e-3)
