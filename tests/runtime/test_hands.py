"""All hands of pictures and clips by the shipped networks, on rendered hands in front of a plain wall."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from hiu_tf.cli import main
from hiu_tf.codecs.centres import Found, overlap
from hiu_tf.errors import UserError
from hiu_tf.geometry.window import box_of
from hiu_tf.pictures import read_picture
from hiu_tf.runtime.detector import Detector, _tiles
from hiu_tf.runtime.predictor import Predictor
from hiu_tf.runtime.shipped import DETECTOR, shipped_model
from hiu_tf.runtime.tracker import Tracker
from hiu_tf.web.build import SAMPLE, build_site

SIZE = 320


@pytest.fixture(scope="module")
def predictor():
    return Predictor(shipped_model(), threads=1)


@pytest.fixture(scope="module")
def hands():
    """Two rendered right hands: (picture, mask, joints [21, 2])."""
    from pipelines.datasets import open_split

    found = []
    for _, sample in open_split("synthetic", "12", "val").outcomes():
        picture = cv2.imdecode(np.frombuffer(sample.image, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        mask = cv2.imdecode(np.frombuffer(sample.mask, np.uint8), cv2.IMREAD_GRAYSCALE)
        found.append((picture, mask, sample.joints_2d))
    return found


def paste(canvas, hand, corner, side, mirrored=False):
    """Pastes the hand's picture, `side` pixels wide, onto the canvas. Returns its box."""
    picture, mask, joints = hand
    scale = side / picture.shape[1]
    picture, mask = cv2.resize(picture, (side, side)), cv2.resize(mask, (side, side))[..., None] / 255.0
    joints = (joints + 0.5) * scale - 0.5
    if mirrored:
        picture, mask, joints = picture[:, ::-1], mask[:, ::-1], [side - 1, 0] + joints * [-1, 1]
    x, y = corner
    part = canvas[y : y + side, x : x + side]
    part[:] = picture[: part.shape[0], : part.shape[1]] * mask[: part.shape[0], : part.shape[1]] + part * (
        1 - mask[: part.shape[0], : part.shape[1]]
    )
    return box_of(joints + corner)


def wall():
    rows, columns = np.mgrid[:SIZE, : 2 * SIZE]
    return np.stack([150 + 20 * np.sin(rows / 60), 160 + 15 * np.sin(columns / 90), 140 + 0 * rows], axis=-1).astype(
        np.uint8
    )


def best_pair(predictor, hands):
    """Two hands, one of them mirrored, whose sides the shipped networks tell."""
    for first in hands:
        for second in hands:
            canvas = wall()
            boxes = [paste(canvas, first, (20, 40), 220), paste(canvas, second, (370, 60), 220, mirrored=True)]
            found = predictor.predict(canvas)
            nearest = [max(found, key=lambda hand, box=box: overlap(hand.box, box)) for box in boxes if len(found) == 2]
            if [hand.side for hand in nearest] == ["right", "left"]:
                return canvas, boxes
    return pytest.fail("no pair of twelve rendered hands was found with its sides")


def test_both_hands_of_a_picture_are_found(predictor, hands):
    canvas, boxes = best_pair(predictor, hands)
    found = predictor.predict(canvas)
    for box, side in zip(boxes, ("right", "left")):
        shares = [overlap(box_of(hand.joints_2d), box) for hand in found]
        assert max(shares) > 0.4
        assert found[int(np.argmax(shares))].side == side
    assert [hand.score for hand in found] == sorted([hand.score for hand in found], reverse=True)
    assert len(predictor.predict(canvas, most=1)) == 1
    assert predictor.predict(canvas, min_score=1.0) == []


def test_where_there_is_no_hand_none_is_found(predictor):
    for picture in (np.zeros((90, 120, 3), np.uint8), np.full((400, 300, 3), 255, np.uint8), wall()):
        assert predictor.predict(picture) == []


def test_the_packages_own_door(hands, tmp_path):
    """As in README's first lines: no module paths, no model name, a file name for the picture."""
    import hiu_tf

    assert {"Predictor", "Tracker", "read_picture"} <= set(dir(hiu_tf))
    cv2.imwrite(str(tmp_path / "hand.png"), hands[0][0][..., ::-1])
    one = hiu_tf.Predictor()
    by_name, by_pixels = one.predict(tmp_path / "hand.png"), one.predict(hiu_tf.read_picture(tmp_path / "hand.png"))
    assert [hand.score for hand in by_name] == [hand.score for hand in by_pixels]
    with pytest.raises(FileNotFoundError, match="nowhere.jpg"):
        one.predict("nowhere.jpg")
    with pytest.raises(AttributeError, match="no attribute 'predictor_of'"):
        hiu_tf.predictor_of  # noqa: B018


@pytest.fixture(scope="module")
def photograph(predictor):
    """The page's photograph of a right and a left hand, and the predictions without a box."""
    picture = read_picture(Path(build_site.__code__.co_filename).with_name("site") / SAMPLE)
    found = predictor.predict(picture)
    assert sorted(hand.side for hand in found) == ["left", "right"]
    return picture, found


def test_the_hand_of_a_box_is_found_near_it(predictor, photograph):
    """Of two hands the one in the box, in pixels of the whole picture; none in an empty box or at the picture's corner."""
    picture, found = photograph
    for hand in found:
        near = predictor.detector.near(picture, hand.box)
        assert overlap(near.box, hand.box) > 0.5 and (near.left > 0.5) == (hand.side == "left")
        assert predictor.predict(picture, hand.box)[0].side == hand.side
    assert predictor.detector.near(wall(), (200, 100, 90, 90)) is None
    assert predictor.detector.near(picture, (-5.0, -5.0, 5.5, 5.5)) is None


def test_a_box_with_a_side_or_as_it_is_needs_no_detector(photograph):
    picture, found = photograph
    alone = Predictor(shipped_model(), threads=1, detector="nowhere.tflite")
    alone.predict(picture, found[0].box, found[0].side)
    alone.predict(picture, found[0].box, upright=False)
    with pytest.raises(UserError, match="no model at nowhere.tflite"):
        alone.predict(picture, found[0].box)


def test_a_turned_hand_is_read_in_its_box(predictor, photograph):
    """By quarter turns, which lose no pixel: joints turn with the picture, and the side stays."""
    picture, found = photograph
    for hand in found:
        shown, joints = picture, hand.joints_2d
        for turns in (1, 2, 3):
            shown, joints = np.rot90(shown), np.stack([joints[:, 1], shown.shape[1] - 1 - joints[:, 0]], axis=1)
            again = predictor.predict(shown, box_of(joints))[0]
            apart = np.linalg.norm(again.joints_2d - joints, axis=1).mean() / max(hand.box[2:])
            assert again.side == hand.side and apart < 0.06, f"{turns} turns: {again.side}, {apart:.3f} of the box"


def test_a_box_is_halfway_between_detector_and_joints(predictor, hands):
    """Also after a second look; for a given box there is no detector's box, so that it is around the joints."""
    canvas, _ = best_pair(predictor, hands)
    found = predictor.detector.find(canvas)
    for hand in predictor.predict(canvas):
        nearest = max(found, key=lambda one: overlap(one.box, hand.box))
        assert hand.detected == nearest.box
        np.testing.assert_allclose(hand.box, (np.array(nearest.box) + box_of(hand.joints_2d)) / 2, rtol=1e-6)
        assert hand.to_dict()["box"] == pytest.approx(hand.box, abs=1e-5)
        alone = predictor.predict(canvas, box=hand.box)[0]
        assert alone.detected is None and alone.box == pytest.approx(box_of(alone.joints_2d))


def test_windows_of_a_hand_turn_its_fingers_up(predictor):
    """For any direction and both sides, the hand points upwards in the crop."""
    for angle in np.linspace(-3, 3, 7):
        direction = np.array([np.cos(angle), np.sin(angle)])
        for window in predictor.windows(Found((100, 80, 60, 40), direction, 0.5, 1.0)):
            shown = window.to_crop(np.array([130, 100]) + 20 * direction) - window.to_crop(np.array([130.0, 100]))
            np.testing.assert_allclose(shown / np.linalg.norm(shown), [0, -1], atol=1e-6)
    assert [w.mirrored for w in predictor.windows(Found((0, 0, 9, 9), direction, 0.5, 1.0))] == [False, True]
    assert [w.mirrored for w in predictor.windows(Found((0, 0, 9, 9), direction, 0.99, 1.0))] == [True, False]
    assert [w.mirrored for w in predictor.windows(Found((0, 0, 9, 9), direction, 0.99, 1.0), "right")] == [False]


@pytest.mark.parametrize("shape", ((100, 300), (2000, 1500), (5, 700)))
def test_tiles_cover_the_picture(shape):
    covered = np.zeros(shape, bool)
    tiles = list(_tiles(*shape))
    for left, top, right, bottom in tiles:
        covered[top:bottom, left:right] = True
    assert covered.all() and len(tiles) < 40


def test_a_closer_look_finds_small_hands(predictor, hands):
    """A hand of a thirtieth of the picture's size is found only with tiles, at the right place."""
    finds = []
    for hand in hands[:6]:
        canvas = np.kron(wall(), np.ones((5, 5, 1), np.uint8))
        box = paste(canvas, hand, (700, 500), 140)
        shown = [overlap(f.box, box) for f in predictor.detector.find(canvas, thorough=True)]
        finds.append(max(shown, default=0) > 0.4)
    assert np.mean(finds) >= 0.5


def test_a_hand_model_is_no_detector():
    with pytest.raises(UserError, match="it is a model named hiu_mobile, not a detector"):
        Detector(shipped_model())
    with pytest.raises(UserError, match="no model card of a hand network"):
        Predictor(shipped_model(DETECTOR))


def test_a_stream_is_read_to_its_end(hands, tmp_path, capsys):
    """A clip sent by a server on this machine; the names of its results have no user and password."""
    import functools
    import threading
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    writer = cv2.VideoWriter(str(tmp_path / "a.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 5, (200, 200))
    for _ in range(4):
        writer.write(cv2.resize(hands[0][0][..., ::-1], (200, 200)))
    writer.release()
    handler = functools.partial(SimpleHTTPRequestHandler, directory=tmp_path)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://me:secret@127.0.0.1:{server.server_port}/a.mp4"
    out = tmp_path / "out"
    assert main(["predict", address, "--out", str(out), "--compact"]) == 0
    server.shutdown()
    server.server_close()
    (log,) = out.glob("*.jsonl")
    assert log.name == f"127_0_0_1_{server.server_port}_a_mp4.jsonl"
    assert len(log.read_text().splitlines()) == 5 and "secret" not in log.read_text()
    assert "secret" not in capsys.readouterr().out
    assert main(["predict", "http://127.0.0.1:9/none", "7", "--out", str(out)]) == 1
    assert capsys.readouterr().err.count("cannot be read as a camera or stream") == 2


@pytest.mark.parametrize(
    ("given", "words"),
    [("nowhere.tflite", "there is no model at nowhere.tflite"), ("notes.md", "a detector is a .tflite or .onnx file")],
)
def test_a_bad_detector_is_refused_before_the_first_picture(given, words, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.md").write_text("no detector")
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / name), wall())
    assert main(["predict", str(tmp_path), "--out", str(tmp_path / "out"), "--detector", given]) == 1
    error = capsys.readouterr().err
    assert words in error and error.count("error: ") == 1 and not (tmp_path / "out").exists()


def test_a_tracker_takes_what_the_predictor_takes(predictor, hands):
    """K as a list, as from the command line. A bad K and an unknown side are refused with a clear message."""
    canvas, _ = best_pair(predictor, hands)
    K = [[500.0, 0, 320], [0, 500, 160], [0, 0, 1]]
    assert {hand.frame for hand in Tracker(predictor, K=K)(canvas)} == {"camera"}
    for options, words in (({"K": [[1, 2]]}, "K must be"), ({"side": "both"}, "side must be")):
        with pytest.raises(UserError, match=words):
            Tracker(predictor, **options)(canvas)


def test_many_pictures_are_predicted_as_each_alone(predictor, hands):
    """Also the same picture twice, pictures without hands, and more windows than one call of the network takes."""
    canvas, boxes = best_pair(predictor, hands)
    pictures = [canvas, wall(), canvas, np.ascontiguousarray(canvas[:, ::-1])]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hiu_tf.runtime.predictor._MOST_CROPS", 3)
        found = predictor.predict_many(pictures)
    assert [len(each) for each in found] == [2, 0, 2, 2]
    for picture, each in zip(pictures, found):
        assert each.picture is picture
        for one, other in zip(each, predictor.predict(picture)):
            assert one.side == other.side
            np.testing.assert_allclose(one.vertices_2d, other.vertices_2d, atol=1e-3)
    given = predictor.predict_many([canvas, canvas], boxes=boxes)
    for box, each in zip(boxes, given):
        np.testing.assert_allclose(each[0].joints_2d, predictor.predict(canvas, box)[0].joints_2d, atol=1e-3)
    assert predictor.predict_many([]) == []
    with pytest.raises(UserError, match="1 boxes for 2 pictures"):
        predictor.predict_many([canvas, canvas], boxes=boxes[:1])


def test_hands_keep_their_numbers(predictor, hands):
    """Two hands move through a clip; each keeps its number and side, and no other hands appear."""
    canvas, _ = best_pair(predictor, hands)
    follow, seen = Tracker(predictor), []
    for shift in range(0, 36, 3):
        seen.append({hand.number: hand.side for hand in follow(np.roll(canvas, shift, axis=1))})
    assert seen[-1] == {1: seen[0][1], 2: seen[0][2]}
    assert len({number for frame in seen for number in frame}) == 2
    assert sum(len(frame) == 2 for frame in seen) >= 10


@pytest.mark.long
def test_a_followed_hand_keeps_its_shape(predictor):
    """The bones of a hand that bends its fingers change their lengths less than if each frame is predicted alone."""
    from hiu_tf.programs.timed.steadiness import clip

    frames = clip(3, "bends")[0][::6]
    follow = Tracker(predictor, side="right", most=1)
    followed = [follow(frame)[0] for frame in frames][1:]
    alone = [predictor.predict(frame, side="right", most=1)[0] for frame in frames][1:]
    lengths = lambda found: np.stack([np.linalg.norm(np.diff(hand.joints_3d[5:9], axis=0), axis=-1) for hand in found])
    spread = lambda found: (lengths(found).std(axis=0) / lengths(found).mean(axis=0)).mean()
    assert spread(followed) < 0.3 * spread(alone)
    assert np.std([hand.shape for hand in followed], axis=0).mean() < 0.1


def test_a_hand_that_leaves_is_given_up(predictor, hands):
    canvas, _ = best_pair(predictor, hands)
    follow = Tracker(predictor)
    assert len(follow(canvas)) == 2
    for _ in range(4):
        last = follow(wall())
    assert last == [] and follow.numbers == set()
    assert {hand.number for hand in follow(canvas)} == {3, 4}


def test_hiu_predict_writes_all_hands(predictor, hands, tmp_path, capsys):
    canvas, _ = best_pair(predictor, hands)
    cv2.imwrite(str(tmp_path / "two.png"), canvas[..., ::-1])
    cv2.imwrite(str(tmp_path / "black.png"), np.zeros_like(canvas))
    writer = cv2.VideoWriter(str(tmp_path / "clip.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 5, canvas.shape[1::-1])
    for _ in range(3):
        writer.write(canvas[..., ::-1])
    writer.release()
    out = tmp_path / "out"
    assert main(["predict", str(tmp_path), "--out", str(out), "--compact"]) == 0
    said = capsys.readouterr().out
    assert "black.png: no hand" in said and "3 frames, 3 with hands, 2 hand(s) followed" in said
    content = json.loads((out / "two.json").read_text())
    assert sorted(hand["side"] for hand in content["hands"]) == ["left", "right"]
    assert "vertices" not in content["hands"][0]
    objects = [line for line in (out / "two.obj").read_text().splitlines() if line.startswith("o ")]
    assert len(objects) == 2
    largest = max(
        max(map(int, line.split()[1:])) for line in (out / "two.obj").read_text().splitlines() if line[0] == "f"
    )
    assert largest == 2 * 1500
    lines = [json.loads(line) for line in (out / "clip.jsonl").read_text().splitlines()]
    assert [sorted(hand["id"] for hand in line["hands"]) for line in lines[1:]] == [[1, 2]] * 3
    assert Path(out / "clip.mp4").is_file() and not (out / "black.png").exists()
