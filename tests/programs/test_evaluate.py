"""The evaluation program on real models and records."""

import csv
import json
import math
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from hiu_tf.config.presets import model_config
from hiu_tf.conventions import keys
from hiu_tf.errors import UserError
from hiu_tf.evaluation.freihand import official_metrics, read_predictions, write_predictions
from hiu_tf.evaluation.metrics import METRICS
from hiu_tf.evaluation.published import published, published_curve, published_rows
from hiu_tf.exporting.card import model_card, write_card
from hiu_tf.exporting.module import HIUModule
from hiu_tf.exporting.tflite import export_tflite
from hiu_tf.geometry.window import Window, box_of
from hiu_tf.hand.mano import read_mano
from hiu_tf.models.hiu import build_hiu
from hiu_tf.programs._measure import run_predictors
from hiu_tf.programs._product import ROWS, Product, Shown, turned
from hiu_tf.programs.convert_mano import main as convert_mano
from hiu_tf.programs.evaluate import main
from hiu_tf.runtime.predictor import Predictor
from hiu_tf.training.folder import Run
from tests.hand.test_mano import mano_arrays, write

MODEL = str(Path(__file__).parents[2] / "savedmodels/hiu_mobile")


@pytest.fixture(scope="module")
def outputs(rendered_records, tmp_path_factory):
    """All files that the program writes for a model."""
    folder = tmp_path_factory.mktemp("evaluation") / "made" / "for it"
    files = [part for kind in ("json", "csv", "html") for part in (f"--{kind}", str(folder / f"out.{kind}"))]
    arguments = ["--data", str(rendered_records), "--protocols", "zhou,nsrm", "--corrupt", "dark", *files]
    assert main(["--model", f"{MODEL}/hiu_mobile_float16.tflite", *arguments]) == 0
    return folder


def test_metrics_are_those_of_the_samples(outputs):
    """The means of the CSV's columns equal the JSON's metrics if all samples have all labels."""
    content = json.loads((outputs / "out.json").read_text())
    clean, dark = content["results"]["synthetic"].values()
    rows = list(csv.DictReader((outputs / "out.csv").read_text().splitlines()))
    assert len(rows) == 6
    for metric in METRICS:
        assert np.mean([float(row[metric.name]) for row in rows]) == pytest.approx(clean[metric.name], rel=1e-4), metric
    assert set(clean) == {*(metric.name for metric in METRICS), "zhou", "nsrm"} == set(content["protocols"])
    assert clean["mask_iou"] > dark["mask_iou"]
    assert content["protocols"]["zhou"]["words"].startswith("area under the curve; Zhou et al. 2020")


def test_the_page_holds_everything(outputs):
    page = (outputs / "out.html").read_text()
    for text in (
        "Mean errors by joint",
        "Mean errors by angle",
        "Mean errors by gesture",
        "Confidence against",
        "worst by",
        "MobRecon 2022",
        "not measured here",
    ):
        assert text in page, text
    assert page.count("data:image/jpeg;base64,") >= 4 and page.count("data:image/png;base64,") >= 2
    assert "://" not in page, "it opens without a network"  # four letters can come about in base64


def test_errors_by_gesture(rendered_records, capsys):
    """The gestures of all hands, each with its worst samples; hands in all make the mean of the table above."""
    arguments = ["--model", f"{MODEL}/hiu_mobile_float16.tflite", "--data", str(rendered_records), "--gestures"]
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    first = next(n for n, line in enumerate(lines) if line.startswith("| labelled gesture"))
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[first + 2 :] if line.startswith("|")]
    hands, errors = np.array([(row[1], row[2]) for row in rows], float).T
    assert hands.sum() == 6
    mean = next(line for line in lines if line.startswith("| joints_2d_box_error"))
    assert (hands @ errors) / 6 == pytest.approx(float(mean.split("|")[2]), abs=2e-3)
    assert all(row[-1].startswith("synthetic/") for row in rows)


@pytest.mark.long
def test_a_model_is_compared_with_its_twin(rendered_records, capsys):
    models = [f"{MODEL}/hiu_mobile_float16.tflite", f"{MODEL}/1"]
    assert main(["--compare", *models, "--data", str(rendered_records)]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| joints_3d_root |")]
    assert "(95% interval)" not in lines[0]
    assert "hiu_mobile/1" not in lines[0]
    samples, one, other = map(float, lines[-1].split("|")[2:5])
    assert samples == 6
    assert one == pytest.approx(other, abs=0.5)


@pytest.mark.long
def test_bad_requests_are_refused(rendered_records, capsys):
    for arguments, message in (
        (["--model", MODEL, "--data", "d", "--protocols", "pckh"], "needs the sizes of heads"),
        (["--compare", MODEL, MODEL, "--data", str(rendered_records)], "only different models"),
        (["--model", MODEL, "--data", str(rendered_records), "--fold", "0,0.0000001"], "no sample to measure"),
        (["--model", MODEL, "--data", str(rendered_records), "--sets", "synthetic,other"], "other does not exist"),
        (["--model", "nowhere.tflite", "--data", "d"], "there is no model at nowhere.tflite"),
    ):
        with pytest.raises(UserError, match=message):
            main(arguments)
    for arguments in (
        ["--run", "r", "--model", "m", "--data", "d"],
        ["--every-stack", "--model", "m", "--data", "d"],
        ["--model", "m", "--data", "d", "--sets", "synthetic,,digits"],
        [],
    ):
        with pytest.raises(SystemExit):
            main(arguments)


@pytest.fixture(scope="module")
def freihand(tmp_path_factory):
    """Three pictures in FreiHAND's layout."""
    folder = tmp_path_factory.mktemp("FreiHAND_pub_v2")
    (folder / "evaluation" / "rgb").mkdir(parents=True)
    rng = np.random.default_rng(3)
    for number in range(3):
        cv2.imwrite(
            str(folder / "evaluation" / "rgb" / f"{number:08d}.jpg"), rng.integers(0, 255, (224, 224, 3), np.uint8)
        )
    camera = [[480.0, 0, 112], [0, 480, 112], [0, 0, 1]]
    (folder / "evaluation_K.json").write_text(json.dumps([camera] * 3))
    (folder / "evaluation_scale.json").write_text(json.dumps([0.028, 0.030, 0.032]))
    return folder


@pytest.mark.long
def test_predictions_for_freihands_server(freihand, tmp_path):
    """For a hand with MANO's shapes: predictions have the given bone length, and the official format is readable."""
    hand, _ = read_mano(write(tmp_path / "MANO_RIGHT.pkl", mano_arrays()))
    module = HIUModule(build_hiu(model_config("tiny")), hand)
    export_tflite(module, tmp_path / "tiny_float32.tflite", "float32")
    write_card(tmp_path, model_card("tiny", module.size, hand, None))
    assert write_predictions(Predictor(tmp_path / "tiny_float32.tflite"), freihand, tmp_path / "pred.json") == 3
    found = read_predictions(tmp_path / "pred.json", 3)
    bones = np.linalg.norm(found["xyz"][:, 9] - found["xyz"][:, 10], axis=1)
    np.testing.assert_allclose(bones, [0.028, 0.030, 0.032], atol=2e-6)
    assert (found["xyz"][..., 2] > 0).all()
    assert official_metrics(found, found)["xyz_mean3d"] == 0
    # Regressed joints are those of the mesh in the same file: the regressor's rows, and the tips' vertices.
    assert convert_mano([str(tmp_path / "MANO_RIGHT.pkl"), "--out", str(tmp_path / "mano.npz")]) == 0
    chain = ["--model", str(tmp_path / "tiny_float32.tflite"), "--freihand", str(freihand), "--pred", str(tmp_path / "r.json")]  # fmt: skip
    with pytest.raises(UserError, match="regressed joints need the hand model"):
        main([*chain, "--joints", "regressed"])
    assert main([*chain, "--joints", "regressed", "--hand", str(tmp_path / "mano.npz")]) == 0
    found = read_predictions(tmp_path / "r.json", 3)
    wanted = np.einsum("jv,nvc->njc", hand.joint_regressor, found["verts"])
    for joint, row in ((0, 0), (5, 1), (10, 5), (13, 10), (17, 7), (3, 15)):
        np.testing.assert_allclose(found["xyz"][:, joint], wanted[:, row], atol=1e-5)
    np.testing.assert_allclose(found["xyz"][:, 8], found["verts"][:, hand.tips[1]], atol=1e-9)


def test_another_mesh_is_refused_before_the_server_does(freihand, tmp_path):
    with pytest.raises(UserError, match="1500 vertices; FreiHAND's server takes MANO's 778"):
        main(
            [
                "--model",
                f"{MODEL}/hiu_mobile_float16.tflite",
                "--freihand",
                str(freihand),
                "--pred",
                str(tmp_path / "p.json"),
            ]
        )
    assert not (tmp_path / "p.json").exists()


def test_published_numbers_are_whole():
    for benchmark, entry in published().items():
        assert entry["source"]
        for method, values in entry["methods"].items():
            assert len(values) == len(entry["metrics"]), (benchmark, method)
        assert published_rows(benchmark)[0][0] == "method"
    _, x, y = published_curve("rhd")
    heights = (y[1:] + y[:-1]) / 2
    assert (heights * np.diff(x)).sum() / (x[-1] - x[0]) == pytest.approx(0.9647, abs=1e-4)
    assert published_curve("stb") is None


def test_a_limit_is_exact(rendered_records, tmp_path):
    arguments = ["--model", f"{MODEL}/hiu_mobile_float16.tflite", "--data", str(rendered_records)]
    assert main([*arguments, "--limit", "5", "--csv", str(tmp_path / "five.csv")]) == 0
    assert len((tmp_path / "five.csv").read_text().splitlines()) == 1 + 5


@pytest.mark.long
def test_random_weights_are_the_same_ones_every_time(hand, rng):
    network = build_hiu(model_config("tiny"))
    run, image = Run(network, "tiny", model_config("tiny"), hand), rng.random((1, 64, 64, 3), np.float32)
    found = [run_predictors(run)["random weights"](image)["joints_3d"] for _ in range(2)]
    np.testing.assert_array_equal(*found)


def test_the_product_is_measured_on_whole_pictures(rendered_records, tmp_path, capsys):
    """Given box and side, upright hands have the same metrics as their crops; every row has every 2D metric."""
    common = ["--data", str(rendered_records), "--model", f"{MODEL}/hiu_mobile_float16.tflite", "--json"]
    assert main([*common, str(tmp_path / "product.json"), "--through", "predict"]) == 0
    assert "side said rightly" in capsys.readouterr().out
    assert main([*common, str(tmp_path / "crops.json")]) == 0
    product, crops = (
        json.loads((tmp_path / f"{name}.json").read_text())["results"]["synthetic"] for name in ("product", "crops")
    )
    assert list(product) == ["box and side", "box", "whole picture"]
    (on_crops,) = crops.values()
    told = product["box and side"]
    assert told["joints_2d_box_error"] == pytest.approx(on_crops["joints_2d_box_error"], rel=0.3)
    assert told["joints_3d_aligned"] == pytest.approx(on_crops["joints_3d_aligned"], rel=0.3)
    assert told["mask_iou"] == pytest.approx(on_crops["mask_iou"], abs=0.05)
    assert told["rendered_mask_iou"] == pytest.approx(on_crops["rendered_mask_iou"], abs=0.15)  # the mesh is fitted


def test_turned_pictures_keep_their_labels(rng):
    """The joints lie on the same marks of the picture before and after."""
    picture = np.zeros((60, 90, 3), np.uint8)
    joints = np.array([[20.0, 10.0], [70.0, 30.0], [40.0, 50.0]])
    for x, y in joints.astype(int):
        picture[y - 1 : y + 2, x - 1 : x + 2] = 255
    side = math.ceil(math.hypot(60, 90))
    for angle in rng.uniform(-math.pi, math.pi, 5):
        turn = Window((44.5, 29.5), side, side, angle=angle)
        shown = turned(Shown(picture, joints, box_of(joints), "left"), turn)
        assert shown.side == "left" and shown.box == box_of(shown.joints)
        assert (picture_at(shown.picture, shown.joints) > 200).all()
        np.testing.assert_allclose(turn.to_picture(shown.joints), joints, atol=1e-9)


def picture_at(picture, points):
    return np.array([picture[y, x, 0] for x, y in np.rint(points).astype(int)])


class Knowing:
    """A predictor that sees a picture's joints: white points on black, the same 3D joints as seen by its camera."""

    def __init__(self, joints, depth):
        self.joints, self.depth = joints, depth

    def predict(self, picture, box=None, side=None, min_score=0.0):
        marks = np.argwhere(picture[..., 0] > 200)[:, ::-1].mean(axis=0)
        middle = 0.5 * (np.array(picture.shape[1::-1]) - 1)
        a, b = (marks - middle) / np.linalg.norm(marks - middle)
        known = self.joints - MIDDLE
        c, d = known.mean(axis=0) / np.linalg.norm(known.mean(axis=0))
        turn = np.array([[a, -b], [b, a]]) @ np.array([[c, d], [-d, c]])
        points = known @ turn.T
        deep = np.concatenate([points, self.depth[:, None]], axis=1)
        hand = SimpleNamespace(
            joints_2d=points + middle, joint_scores=np.ones(21), joints_2d_projected=points + middle,
            joints_3d=deep, vertices=deep, vertices_2d=points + middle, faces=np.array([[0, 5, 17]]), mask=(picture[..., 0] > 200).astype(np.float32), side="right",
        )  # fmt: skip
        return [hand]


MIDDLE = np.array([59.5, 39.5])


def test_what_is_found_in_turned_pictures_comes_back_to_the_crop(rng):
    """A predictor that knows the hand gives the same answer on the picture as it is and turned."""
    joints, depth = MIDDLE + rng.uniform((5, 5), (30, 20), (21, 2)), rng.normal(size=21)
    picture = np.zeros((80, 120, 3), np.uint8)
    x, y = np.rint(joints.mean(axis=0)).astype(int)
    picture[y - 2 : y + 3, x - 2 : x + 3] = 255
    joints += (x, y) - joints.mean(axis=0)
    pictures = [Shown(picture, joints, box_of(joints), "left")] * 6
    straight, around = (
        Product(Knowing(joints, depth), pictures, ROWS["box"]._replace(turned=turns))(np.zeros((6, 64, 64, 3)))
        for turns in (False, True)
    )
    for name in (keys.JOINTS_2D, keys.JOINTS_3D, keys.VERTICES):
        np.testing.assert_allclose(around[name], straight[name], atol=0.8, err_msg=name)
    assert np.ptp(around[keys.JOINTS_2D], axis=1).min() > 10
    centre = lambda masks: np.array([np.argwhere(mask > 0.5).mean(axis=0) for mask in masks])
    np.testing.assert_allclose(centre(around[keys.MASK]), centre(straight[keys.MASK]), atol=0.8)


def test_a_given_box_keeps_its_size_on_turned_pictures():
    """As that of a head, or around a single labelled joint: only its centre moves."""
    shown = Shown(np.zeros((60, 80, 3), np.uint8), None, (10.0, 20.0, 8.0, 4.0), None)
    turn = Window((39.5, 29.5), 100, 100, angle=0.7)
    box = np.array(turned(shown, turn).box)
    np.testing.assert_allclose(box[2:], (8, 4))
    np.testing.assert_allclose(turn.to_picture(box[:2] + box[2:] / 2), (14, 22), atol=1e-9)
