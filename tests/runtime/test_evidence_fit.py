"""The fit of one predicted hand to its heat maps and its mask."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from hiu_tf.cli import main
from hiu_tf.conventions import keys
from hiu_tf.errors import UserError
from hiu_tf.fit.chain import Chain, Hands
from hiu_tf.fit.skin import Skin
from hiu_tf.geometry.camera import project, virtual_intrinsics
from hiu_tf.geometry.mesh import covered
from hiu_tf.geometry.rotation import axis_angle, rotation_matrix
from hiu_tf.geometry.window import Window
from hiu_tf.hand.layer import pose_hand
from hiu_tf.hand.model import save_hand_model
from hiu_tf.hand.poses import gesture_pose
from hiu_tf.runtime.crop import cut, in_picture
from hiu_tf.runtime.evidence_fit import EvidenceFit
from hiu_tf.runtime.predictor import Predictor

SIZE = 64
CAMERA = virtual_intrinsics(SIZE).astype(float)


def a_hand(shape):
    """A relaxed right hand of shape beta [10], seen from its side."""
    pose = gesture_pose("relaxed")[np.newaxis]
    return Hands(shape[np.newaxis], pose, rotation_matrix(np.array([[1.5, 1.8, 0.2]])), np.array([[0, 0.05, 0.6]]))


def outputs(hand, truth, said):
    """Outputs of a network whose heat maps see the hand `truth`, whose regressor says `said`. It sees no mask."""
    joints, flat = Chain(hand).joints(said)[0], project(Chain(hand).joints(truth)[0], CAMERA)
    return {
        keys.JOINTS_2D: flat,
        keys.SCORES: np.full(21, 0.9),
        keys.MASK: np.zeros((SIZE, SIZE)),
        keys.JOINTS_3D: joints,
        keys.VERTICES: Skin(hand)(said)[0],
        keys.JOINTS_2D_PROJECTED: project(joints, CAMERA),
        keys.SHAPE: said.shape[0],
        keys.POSE: said.pose[0],
        keys.ROTATION: axis_angle(said.rotation[0]),
        keys.TRANSLATION: said.translation[0],
    }


def area(hand, vertices):
    """The pixels that a mesh covers."""
    return covered(project(vertices, CAMERA), hand.closed_faces, SIZE, SIZE)


def overlap(one, other):
    return (one & other).sum() / (one | other).sum()


@pytest.fixture
def seen(any_hand, rng):
    """Joints of a hand, and what a network with a slightly wrong regressor sees of it."""
    hand, truth = any_hand, a_hand(np.zeros(10))
    return Chain(hand).joints(truth)[0], outputs(hand, truth, truth.moved(rng.normal(0, 0.04, (1, 61))))


@pytest.fixture
def masked(hand, rng):
    """Hands that are thicker or thinner than the regressor says: [(area of the hand, outputs with that mask)]."""
    found = []
    for _ in range(6):
        truth = a_hand(rng.normal(0, 1.5, 10))
        mask = area(hand, Skin(hand)(truth)[0])
        found.append((mask, outputs(hand, truth, a_hand(np.zeros(10))) | {keys.MASK: mask[..., None].astype(float)}))
    return found


def test_the_fit_moves_the_mesh_onto_the_heat_maps(any_hand, seen):
    hand, (truth, raw) = any_hand, seen
    found = EvidenceFit(hand, CAMERA)(raw)
    gap = lambda answer: np.linalg.norm(answer[keys.JOINTS_2D_PROJECTED] - raw[keys.JOINTS_2D], axis=1).mean()
    error = lambda answer: np.linalg.norm(
        answer[keys.JOINTS_3D] - answer[keys.JOINTS_3D][0] - (truth - truth[0]), axis=1
    ).mean()
    assert gap(found) < 0.2 * gap(raw)
    assert error(found) < error(raw)
    # Parameters, joints and mesh are still consistent.
    posed = pose_hand(hand, *(found[k][np.newaxis] for k in (keys.SHAPE, keys.POSE, keys.ROTATION, keys.TRANSLATION)))
    np.testing.assert_allclose(posed[keys.VERTICES][0], found[keys.VERTICES], atol=1e-5)
    np.testing.assert_allclose(posed[keys.JOINTS_3D][0], found[keys.JOINTS_3D], atol=1e-5)


def test_what_cannot_be_read_is_not_fitted(any_hand, seen):
    raw = seen[1] | {keys.SCORES: np.full(21, 0.1)}
    assert EvidenceFit(any_hand, CAMERA)(raw) is raw


def test_a_mesh_that_is_fitted_to_the_mask_covers_it(hand, masked):
    """Better than one that is fitted to the joints alone; its joints stay on theirs."""
    fits = EvidenceFit(hand, CAMERA), EvidenceFit(hand, CAMERA, to_mask=True)
    found = [[fit(raw) for _, raw in masked] for fit in fits]
    alone, both = (np.array([overlap(area(hand, a[keys.VERTICES]), m) for a, (m, _) in zip(f, masked)]) for f in found)
    assert both.mean() > alone.mean() + 0.01 and (both > alone).all(), (alone, both)
    for (_, raw), answer in zip(masked, found[1]):
        box = np.ptp(raw[keys.JOINTS_2D], axis=0).max()
        assert np.linalg.norm(answer[keys.JOINTS_2D_PROJECTED] - raw[keys.JOINTS_2D], axis=1).mean() < 0.03 * box


def test_a_mask_of_something_else_moves_no_mesh(hand, masked):
    """Where the mask contradicts the joints, the joints count."""
    for _, raw in masked:
        other = raw | {keys.MASK: np.roll(raw[keys.MASK], 24, axis=1)}
        alone = EvidenceFit(hand, CAMERA)(other)[keys.VERTICES]
        np.testing.assert_array_equal(EvidenceFit(hand, CAMERA, to_mask=True)(other)[keys.VERTICES], alone)


def test_the_mask_is_no_evidence_beyond_the_picture(hand, masked):
    """A hand that the picture's edge cuts off covers its visible part better, and keeps what lies beyond the edge."""
    alone, both = [], []
    for mask, raw in masked:
        known = np.ones((SIZE, SIZE), bool)
        known[: int(np.quantile(np.nonzero(mask)[0], 0.3))] = False
        cut_off = raw | {keys.MASK: raw[keys.MASK] * known[..., None]}
        found = [area(hand, EvidenceFit(hand, CAMERA, m)(cut_off, None, lambda: known)[keys.VERTICES]) for m in (0, 1)]  # noqa: B023
        for visible, drawn in zip((alone, both), found):
            visible.append(overlap(drawn & known, mask & known))
        assert (found[1] & mask & ~known).sum() > 0.8 * (mask & ~known).sum()
    assert np.mean(both) > np.mean(alone) + 0.005, (alone, both)


def test_a_crop_lies_in_the_picture_where_it_is_not_black(rng):
    """But for its border, where the crop is sampled between the picture and black."""
    white = np.full((70, 90, 3), 255, np.uint8)
    for _ in range(50):
        centre, side = tuple(rng.uniform(0, 80, 2)), rng.uniform(20, 150)
        window = Window(centre, side, SIZE, bool(rng.random() < 0.5), rng.uniform(-3, 3))
        inside, seen = in_picture(window, 70, 90), cut(white, window)[..., 0]
        kernel = np.ones((9, 9), np.uint8)  # a pixel of the picture may be three of the crop
        assert (seen[cv2.erode(inside.astype(np.uint8), kernel, borderValue=1) > 0] > 0.99).all()
        assert (seen[cv2.dilate(inside.astype(np.uint8), kernel, borderValue=0) == 0] < 0.01).all()


def test_without_a_mask_nothing_can_be_fitted_to_it(hand, masked):
    raw = {key: value for key, value in masked[0][1].items() if key != keys.MASK}
    EvidenceFit(hand, CAMERA)(raw)
    with pytest.raises(UserError, match="gives no mask to fit to"):
        EvidenceFit(hand, CAMERA, to_mask=True)(raw)


def test_a_predictor_fits_to_the_mask(tiny_model, rng, monkeypatch):
    """Of right and left hands; the mask's part beyond the picture is left out."""
    picture, known = rng.integers(0, 255, (64, 64, 3), dtype=np.uint8), []
    fitted = EvidenceFit._fitted_to_mask
    monkeypatch.setattr(EvidenceFit, "_fitted_to_mask", lambda *args: known.append(args[4]) or fitted(*args))
    monkeypatch.setattr("hiu_tf.runtime.evidence_fit.READABLE", -1.0)  # the tiny network is sure of nothing
    predictor = Predictor(tiny_model / "tiny.tflite", threads=1, fit_mask=True)
    for side in ("right", "left"):
        found = predictor.predict(picture, (40, 8, 20, 20), side, upright=False)[0]
        assert np.isfinite(found.vertices).all()
        assert not known[-1][:, 0 if side == "left" else -1].any() and known[-1][SIZE // 2, SIZE // 2]


def test_what_cannot_be_fitted_to_the_mask_is_refused(tiny_model, hand, tmp_path, capsys):
    with pytest.raises(UserError, match="fit_mask needs fit"):
        Predictor(tiny_model / "tiny.tflite", fit=False, fit_mask=True)
    save_hand_model(tmp_path / "other.npz", replace(hand, name="another"))
    with pytest.raises(UserError, match="fit_mask needs the hand hiu-tf procedural hand"):
        Predictor(tiny_model / "tiny.tflite", hand=str(tmp_path / "other.npz"), fit_mask=True)
    (tmp_path / "a.png").write_bytes(cv2.imencode(".png", np.zeros((9, 9, 3), np.uint8))[1].tobytes())
    assert main(["predict", str(tmp_path / "a.png"), "--out", str(tmp_path / "out"), "--no-fit", "--fit-mask"]) == 1
    assert "fit_mask needs fit" in capsys.readouterr().err
