import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from hiu_tf.cli import main
from hiu_tf.conventions import keys
from hiu_tf.errors import UserError
from hiu_tf.geometry.camera import virtual_intrinsics
from hiu_tf.geometry.window import Window
from hiu_tf.runtime.crop import cut
from hiu_tf.runtime.predictor import Predictor
from hiu_tf.runtime.shipped import model_path, shipped_model


@pytest.fixture(scope="module")
def model(tiny_model):
    return tiny_model / "tiny_float32.tflite"


@pytest.fixture
def picture(rng):
    return cv2.resize(rng.integers(0, 255, (20, 30, 3), dtype=np.uint8), (180, 120))


def test_crop_shows_what_is_there(picture):
    """At scale 1 on whole pixels the crop is the picture itself; mirrored it is its mirror image."""
    plain = cut(picture, Window((79.5, 59.5), 64.0, 64))
    np.testing.assert_allclose(plain, picture[28:92, 48:112] / 255.0, atol=1e-3)
    np.testing.assert_allclose(cut(picture, Window((79.5, 59.5), 64.0, 64, True)), plain[:, ::-1], atol=1e-3)
    turned = cut(picture, Window((79.5, 59.5), 64.0, 64, angle=np.pi / 2))
    np.testing.assert_allclose(turned, np.rot90(plain, -1), atol=1e-3)


def test_both_routes_agree(model, picture):
    """TFLite and SavedModel: joints within 0.1 px and 0.1 mm."""
    first = Predictor(model).predict(picture, box=(40, 20, 80, 80), side="right", upright=False)[0]
    second = Predictor(model.parent).predict(picture, box=(40, 20, 80, 80), side="right", upright=False)[0]
    np.testing.assert_allclose(first.joints_2d, second.joints_2d, atol=0.1)
    np.testing.assert_allclose(first.joints_3d, second.joints_3d, atol=1e-4)
    np.testing.assert_allclose(first.vertices, second.vertices, atol=1e-4)
    np.testing.assert_allclose(first.mask, second.mask, atol=1e-3)


def test_left_is_the_mirror_image_of_right(model, picture):
    predictor = Predictor(model)
    width = picture.shape[1]
    right = predictor.predict(picture, box=(40, 20, 80, 80), side="right", upright=False)[0]
    left = predictor.predict(
        np.ascontiguousarray(picture[:, ::-1]), box=(width - 1 - 120, 20, 80, 80), side="left", upright=False
    )[0]
    np.testing.assert_allclose(left.joints_2d, [width - 1, 0] + right.joints_2d * [-1, 1], atol=0.05)
    np.testing.assert_allclose(left.vertices, right.vertices * [-1, 1, 1], atol=1e-4)
    np.testing.assert_allclose(left.mask, right.mask[:, ::-1], atol=0.02)


@pytest.mark.parametrize("side", ["right", "left"])
def test_with_K_the_wrist_projects_where_it_is_seen(model, picture, side):
    camera = np.array([[300.0, 0, 90], [0, 300, 60], [0, 0, 1]])
    found = Predictor(model).predict(picture, box=(40, 20, 80, 80), side=side, K=camera, upright=False)[0]
    assert found.frame == "camera"
    wrist = camera @ found.joints_3d[0]
    np.testing.assert_allclose(wrist[:2] / wrist[2], found.joints_2d_projected[0], atol=0.05)


def test_K_of_the_crop_changes_nothing(model, picture):
    """A real camera equal to the virtual one gives the same 3D."""
    predictor = Predictor(model)
    plain = predictor.predict(picture, box=(58, 28, 64 / 1.5, 64 / 1.5), side="right", upright=False)[0]
    scale = plain.crop.side / plain.crop.size
    camera = virtual_intrinsics(64).astype(float)
    camera[:2] *= scale
    camera[:2, 2] = plain.crop.centre
    same = predictor.predict(picture, box=(58, 28, 64 / 1.5, 64 / 1.5), side="right", K=camera, upright=False)[0]
    np.testing.assert_allclose(same.joints_3d, plain.joints_3d, atol=1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"side": "both"}, "side must be"),
        ({"box": (500, 10, 20, 20)}, "does not fit the picture"),
        ({"box": (10, 10, 0, 20)}, "does not fit"),
        ({"box": (10, 10, float("nan"), 20)}, "does not fit"),
        ({"K": np.eye(2)}, "K must be"),
        ({"K": "x"}, "K must be"),
        ({"K": [[1, 2], [3]]}, "K must be"),
        ({"K": [[500, 20, 90], [0, 500, 60], [0, 0, 1]]}, "without skew"),
        ({"K": [[500, 0, 0], [0, 500, 0], [90, 60, 1]]}, "K must be"),
    ],
)
def test_bad_arguments(model, picture, arguments, message):
    with pytest.raises(UserError, match=message):
        Predictor(model).predict(picture, **arguments)


@pytest.mark.parametrize(
    "bad",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((1, 1, 3), np.uint8), np.zeros((33_000, 4, 3), np.uint8), "a\0b.png"],
)  # fmt: skip
def test_bad_pictures(model, bad):
    with pytest.raises(UserError, match="a picture is|sides of a picture|is no path"):
        Predictor(model).predict(bad, box=(1, 1, 2, 2))


def test_hiu_predict_writes_everything(model, picture, tmp_path, capsys):
    cv2.imwrite(str(tmp_path / "one.jpg"), picture)
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    writer = cv2.VideoWriter(str(tmp_path / "clip.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 5, (180, 120))
    for _ in range(3):
        writer.write(picture)
    writer.release()
    out = tmp_path / "out"
    code = main(["predict", str(tmp_path), "--out", str(out), "--model", str(model)])
    assert code == 1
    assert "bad.jpg: cannot be read as a picture" in capsys.readouterr().err
    assert sorted(p.name for p in out.iterdir()) == ["clip.jsonl", "clip.mp4", "one.json"]
    assert json.loads((out / "one.json").read_text())["hands"] == []
    lines = [json.loads(line) for line in (out / "clip.jsonl").read_text().splitlines()]
    assert [line["hands"] for line in lines[1:]] == [[]] * 3
    assert (
        main(["predict", str(tmp_path / "one.jpg"), "--out", str(out), "--model", str(model), "--box", "9,9,90,90"])
        == 0
    )
    content = json.loads((out / "one.json").read_text())
    assert content["units"][keys.JOINTS_2D].startswith("pixels")
    (hand,) = content["hands"]
    assert np.shape(hand[keys.JOINTS_3D]) == (21, 3) and np.shape(hand[keys.VERTICES]) == (1500, 3)
    vertices = [line for line in (out / "one.obj").read_text().splitlines() if line.startswith("v ")]
    assert len(vertices) == 1500
    assert cv2.imread(str(out / "one.png")).shape == (120, 4 * 180, 3)


def test_equal_stems_do_not_overwrite_each_other(model, picture, tmp_path):
    for name in ("a.jpg", "a.png"):
        cv2.imwrite(str(tmp_path / name), picture)
    out = tmp_path / "out"
    assert main(["predict", str(tmp_path), "--out", str(out), "--model", str(model), "--side", "right"]) == 0
    assert len(list(out.glob("*.json"))) == 2


def test_the_users_own_pictures_survive(model, picture, tmp_path, capsys):
    own = tmp_path / "one.png"
    cv2.imwrite(str(own), picture)
    before = own.read_bytes()
    for given, words in ((tmp_path, "is the folder of the inputs"), (own, "would overwrite an input")):
        assert main(["predict", str(given), "--out", str(tmp_path), "--model", str(model)]) == 1
        assert words in capsys.readouterr().err
    assert own.read_bytes() == before and list(tmp_path.iterdir()) == [own]


@pytest.mark.parametrize("name", ["one.png", "one.json", "one.obj"])
@pytest.mark.parametrize("hands", [True, False])
def test_files_that_are_no_results_are_neither_overwritten_nor_removed(model, picture, name, hands, tmp_path, capsys):
    cv2.imwrite(str(tmp_path / "one.jpg"), picture if hands else np.zeros_like(picture))
    own = tmp_path / name
    own.write_text("the user's own")
    box = ["--box", "5,5,50,45"] if hands else []
    assert main(["predict", str(tmp_path / "one.jpg"), "--out", str(tmp_path), "--model", str(model), *box]) == 1
    assert f"{own} is in the way" in capsys.readouterr().err
    assert own.read_text() == "the user's own"


def test_results_of_an_earlier_run_are_replaced_or_removed(model, picture, tmp_path):
    """Of every format, and for a clip; a picture that shows no hand any more keeps its JSON alone."""
    formats = ["--format", "png,jpg,json,obj,ply,glb"]
    path, out = tmp_path / "one.bmp", tmp_path / "out"
    cv2.imwrite(str(path), picture)
    for _ in range(2):
        assert (
            main(["predict", str(path), "--out", str(out), "--model", str(model), *formats, "--box", "5,5,50,45"]) == 0
        )
    assert len(list(out.iterdir())) == 6
    cv2.imwrite(str(path), np.zeros_like(picture))
    assert main(["predict", str(path), "--out", str(out), "--model", str(model), *formats]) == 0
    assert [found.name for found in out.iterdir()] == ["one.json"]


def test_files_of_formats_that_are_not_asked_for_survive(model, picture, tmp_path):
    """Another picture of the same name, or a mesh of the user's, beside the results is neither removed nor refused."""
    cv2.imwrite(str(tmp_path / "one.png"), picture)
    cv2.imwrite(str(tmp_path / "none.png"), np.zeros_like(picture))
    out = tmp_path / "out"
    out.mkdir()
    kept = [out / name for name in ("one.jpg", "one.ply", "one.glb", "none.jpg", "none.glb", "one_hand_1.glb")]
    for path in kept:
        path.write_text("the user's own")
    box = ["--box", "5,5,50,45"]
    assert main(["predict", str(tmp_path / "one.png"), "--out", str(out), "--model", str(model), *box]) == 0
    assert main(["predict", str(tmp_path / "none.png"), "--out", str(out), "--model", str(model)]) == 0
    assert (out / "one.obj").exists() and all(path.read_text() == "the user's own" for path in kept)
    cv2.imwrite(str(tmp_path / "two.jpg"), picture)  # its own folder may take the results: none is a .jpg
    assert main(["predict", str(tmp_path / "two.jpg"), "--out", str(tmp_path), "--model", str(model), *box]) == 0


@pytest.mark.parametrize("content", ("{broken", "{}", "[]"))
def test_a_broken_model_card_is_named(model, content, tmp_path):
    shutil.copy(model, tmp_path / "m.tflite")
    (tmp_path / "model.json").write_text(content)
    with pytest.raises(UserError, match="model.json is no model card"):
        Predictor(tmp_path / "m.tflite")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["predict", "nowhere.jpg"], 1, "nowhere.jpg does not exist"),
        (["predict", "{empty}"], 1, "holds no pictures"),
        (["predict", "{file}", "--box", "1,2,3"], 1, "--box takes 4 numbers"),
        (["predict", "{file}", "--K", "a,b,c,d"], 1, "--K takes 4 numbers"),
        (["predict", "{file}", "--K", "nan,500,0,0"], 1, "--K takes focal lengths"),
        (["predict", "{file}", "--model", "none.tflite"], 1, "there is no model at none.tflite"),
        (["predict", "{file}", "--out", "{file}/sub"], 1, "error: "),
    ],
)
def test_user_mistakes_end_in_one_line(arguments, code, message, tmp_path, capsys, picture):
    (tmp_path / "empty").mkdir()
    cv2.imwrite(str(tmp_path / "one.png"), picture)
    places = {"empty": tmp_path / "empty", "file": tmp_path / "one.png"}
    assert main([argument.format(**places) for argument in arguments]) == code
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "options",
    [["--max-megapixels", v] for v in ("nan", "inf", "0")]
    + [["--min-score", v] for v in ("nan", "-1", "30")]
    + [["--seconds", v] for v in ("nan", "-1")],
)
def test_numbers_out_of_range_are_refused(options, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["predict", "photo.jpg", *options])
    assert ended.value.code == 2 and f"{options[0]}: takes a number" in capsys.readouterr().err


def test_bad_usage_is_exit_code_2():
    with pytest.raises(SystemExit) as error:
        main(["predict"])
    assert error.value.code == 2


@pytest.mark.parametrize("box", ("abcd", (1, 2, 3), 7, (float("nan"),) * 4))
def test_a_box_that_is_none_is_refused_in_words(box):
    from hiu_tf.runtime.predictor import Predictor

    predictor = Predictor(Path(__file__).parents[2] / "savedmodels/hiu_mobile/hiu_mobile_float16.tflite")
    with pytest.raises(UserError, match="box"):
        predictor.predict(np.zeros((50, 60, 3), np.uint8), box)


def test_threads_may_share_a_predictor(model, rng):
    """Four threads, two hundred pictures: each prediction equals that of its picture alone."""
    predictor = Predictor(model, threads=1)
    pictures = [rng.integers(0, 255, (64, 64, 3), dtype=np.uint8) for _ in range(10)]
    answer = lambda k: predictor.predict(pictures[k % 10], (8, 8, 40, 40), "right")[0].joints_3d
    alone = [answer(k) for k in range(10)]
    with ThreadPoolExecutor(4) as pool:
        for k, found in enumerate(pool.map(answer, range(200))):
            np.testing.assert_array_equal(found, alone[k % 10])


def test_shipped_models_are_known_by_name(tmp_path, monkeypatch):
    assert model_path("hiu_mobile") == model_path(Path("hiu_mobile")) == shipped_model("hiu_mobile")
    assert model_path("mine/hiu_mobile") == Path("mine/hiu_mobile")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hiu_mobile").mkdir()
    assert model_path("hiu_mobile") == Path("hiu_mobile"), "a folder of that name is meant"
