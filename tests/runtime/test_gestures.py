"""Gestures: the procedural hand's own poses, turned, scaled and mirrored; rules; the page's twin; the program's table."""

import json

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from hiu_tf.errors import UserError
from hiu_tf.hand.anatomy import UPRIGHT
from hiu_tf.hand.layer import pose_hand
from hiu_tf.hand.poses import GESTURES as POSES
from hiu_tf.hand.poses import gesture_pose
from hiu_tf.programs.gestures import confusion_table, main
from hiu_tf.runtime.gestures import GESTURES, gesture, pinch
from tests.web.test_modules import NODE, javascript

#: Pose of the procedural hand -> name of its gesture; poses that are between gestures are left out.
NAMES = {"open": "open", "flat": "open", "fist": "fist", "point": "point", "victory": "victory", "three": "three", "four": "four", "thumb up": "thumb up", "ok": "ok", "horns": "horns", "call": "call", "gun": "three"}  # fmt: skip


@pytest.fixture(scope="module")
def poses(hand):
    """{name: joints [21, 3]} of the procedural hand, fingers up, y down."""
    pose = np.stack([gesture_pose(name) for name in POSES])
    zeros = [np.zeros((len(pose), n), np.float32) for n in (10, 3, 3)]
    joints = pose_hand(hand, zeros[0], pose.astype(np.float32), zeros[1], zeros[2])["joints_3d"].numpy()
    return dict(zip(POSES, joints @ UPRIGHT.T))


def named(joints):
    return gesture(joints, joints[:, :2])


@pytest.mark.parametrize("name", NAMES)
def test_the_hand_s_own_gestures_are_named(poses, name):
    joints = poses[name]
    given = named(joints)
    wanted = NAMES[name]
    if wanted.startswith("thumb"):
        assert given.startswith("thumb")
    else:
        assert given == wanted


def test_size_side_and_view_do_not_matter(poses):
    turn = Rotation.from_euler("xyz", (40, 70, 0), degrees=True).as_matrix()
    for joints in poses.values():
        if (first := named(joints)) and not first.startswith("thumb"):
            for other in (7 * joints, joints * [-1, 1, 1], joints @ turn.T + 3):
                assert named(other) == first


def test_a_lone_thumb_has_a_direction(poses):
    joints = poses["thumb up"]
    across, down = (joints[4] - joints[2])[:2]
    for degrees, name in ((0, "up"), (90, "sideways"), (180, "down"), (270, "sideways")):
        turned = np.radians(degrees) - np.arctan2(across, -down)
        matrix = np.array([[np.cos(turned), -np.sin(turned)], [np.sin(turned), np.cos(turned)]])
        assert gesture(joints, joints[:, :2] @ matrix.T) == f"thumb {name}"


def test_pinch_is_a_distance_in_palms(poses):
    joints = poses["open"].copy()
    joints[8] = joints[4]
    assert pinch(joints) == 0
    joints[8] = joints[4] + joints[9] - joints[0]
    assert pinch(joints) == pytest.approx(1)


def test_no_rule_hides_another_and_damaged_joints_have_a_name_or_none():
    assert len({rule for rule, _ in GESTURES}) == len(GESTURES)
    assert all(len(rule) == 5 and set(rule) <= set("snb") for rule, _ in GESTURES)
    assert gesture(np.zeros((21, 3)), np.zeros((21, 2))) is None or isinstance(named(np.zeros((21, 3))), str)


@pytest.mark.skipif(NODE is None, reason="Node.js is not installed")
def test_the_page_names_the_same(poses, rng):
    joints = [p + rng.normal(0, s, (21, 3)) for p in poses.values() for s in (0, 0.003, 0.01, 0.02)]
    body = """const { GESTURES, gesture, pinch } = await load('gestures.js');
      return [GESTURES, data.joints.map((j) => [gesture(j, j.map(([x, y]) => [x, y])), pinch(j)])];"""
    rules, found = javascript(body, joints=np.array(joints).tolist())
    assert rules == [list(rule) for rule in GESTURES]
    assert [name for name, _ in found] == [named(j) for j in joints]
    np.testing.assert_allclose([distance for _, distance in found], [pinch(j) for j in joints], rtol=1e-9)


def test_the_table_counts():
    text = confusion_table([("fist", "fist"), ("fist", None), ("open", "open"), (None, "ok")])
    assert "| fist | 2 | .50 | - 1 |" in text and "| open | 1 | 1.00 |  |" in text and "| - | 1 | .00 | ok 1 |" in text


def test_the_program_reads_labels_and_refuses_others(tmp_path, capsys):
    (tmp_path / "images").mkdir()
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (90, 120, 3), np.uint8)).save(tmp_path / "images" / "a.png")
    content = {
        "images": [{"id": 1, "file_name": "images/a.png", "group": "up"}],
        "annotations": [{"id": 1, "image_id": 1, "bbox": [20, 20, 60, 50], "hand_side": "left", "digit": 5}],
    }
    path = tmp_path / "val.json"
    path.write_text(json.dumps(content))
    for field, names in (("digit", "5=open,1=point"), ("group", "up=thumb up")):
        assert main([str(path), "--field", field, "--names", names, "--json", str(tmp_path / "out.json")]) == 0
        printed = capsys.readouterr()
        assert "| all | 1 |" in printed.out
        assert printed.err.count("no hand's digit is 1; there are 5") == (field == "digit")
    assert json.loads((tmp_path / "out.json").read_text())["rows"][0]["labelled"] == "thumb up"
    for field, names, words in (("finger", "1=open", "no annotation or image has the field 'finger'"), ("digit", "5=opne", "no gesture 'opne'"), ("digit", "5", "VALUE=GESTURE"), ("digit", "5=open,5=fist", "a value means one gesture")):  # fmt: skip
        with pytest.raises(UserError, match=words):
            main([str(path), "--field", field, "--names", names])
