"""Named protocols against a plain implementation joint by joint, and against published curves."""

import json

import numpy as np
import pytest

from hiu_tf.errors import UserError
from hiu_tf.evaluation.benchmarks import POINT_PROTOCOLS, measure, read_points
from hiu_tf.metrics.points import area
from hiu_tf.programs.evaluate import main

#: HIU-DMTL's published curve on RHD, 20 to 50 mm, whose area its authors print as .964.
RHD_CURVE = np.array([0.8609, 0.9111, 0.9417, 0.9632, 0.9760, 0.9848, 0.9906, 0.9925, 0.9940, 0.9956])


def test_the_published_curve_has_its_published_area():
    assert area(RHD_CURVE, np.linspace(20, 50, 10)) == pytest.approx(0.9647, abs=5e-5)
    assert area(RHD_CURVE, np.linspace(20, 50, 10), "mean") == pytest.approx(RHD_CURVE.mean())


@pytest.fixture
def hands(rng):
    labelled = rng.normal(0, 0.04, (12, 21, 3)) + [0, 0, 0.6]
    weight = (rng.random((12, 21)) > 0.2).astype(float)
    weight[:, [0, 9, 10]] = 1
    return labelled * 1.2 + rng.normal(0, 0.01, labelled.shape) + 0.1, labelled, weight


def by_hand(predicted, labelled, weight, root, bone, thresholds):
    """Plain implementation of Zimmermann-like protocols, one joint at a time."""
    means, medians, areas = [], [], []
    for joint in range(21):
        errors = []
        for found, truth, seen in zip(predicted, labelled, weight):
            scale = 1.0
            if bone:
                scale = np.linalg.norm(truth[bone[1]] - truth[bone[0]]) / np.linalg.norm(
                    found[bone[1]] - found[bone[0]]
                )
            if seen[joint]:
                errors.append(
                    1000 * np.linalg.norm((found[joint] - found[root]) * scale - (truth[joint] - truth[root]))
                )
        if errors:
            curve = [np.mean(np.array(errors) <= t) for t in thresholds]
            means.append(np.mean(errors))
            medians.append(np.median(errors))
            areas.append(np.trapz(curve, thresholds) / (thresholds[-1] - thresholds[0]))
    return np.mean(means), np.mean(medians), np.mean(areas)


@pytest.mark.parametrize(
    ("name", "root", "bone", "thresholds"),
    [
        ("zimmermann", 0, (9, 10), np.linspace(0, 50, 20)[8:]),
        ("zimmermann_0_50", 0, (9, 10), np.linspace(0, 50, 20)),
        ("ge", 0, (9, 10), np.linspace(20, 50, 20)),
        ("bihand", 9, (0, 9), np.linspace(20, 50, 20)),
        ("zhou", 9, (0, 9), np.linspace(20, 50, 15)),
        ("mobrecon", 0, None, np.linspace(20, 50, 20)),
    ],
)
def test_3d_protocols(hands, name, root, bone, thresholds):
    protocol = POINT_PROTOCOLS[name]
    metrics = protocol.metrics(protocol.errors(*hands))
    expected = by_hand(*hands, root, bone, thresholds)
    np.testing.assert_allclose([metrics[k] for k in ("mean", "median", "auc")], expected, rtol=1e-9)
    np.testing.assert_allclose(protocol.thresholds, thresholds)


def test_dexter_aligns_tips_alone(hands):
    """A shifted and scaled prediction of the tips is perfect; samples with one tip are left out."""
    _, labelled, weight = hands
    predicted = 1.7 * labelled + [0.3, 0, 0]
    predicted[:, [1, 2, 3, 5]] = 99  # nobody asks for these
    weight = np.zeros_like(weight)
    weight[:, [4, 8, 12, 16, 20]] = 1
    weight[0, [8, 12, 16, 20]] = 0
    for name in ("dexter_20_50", "dexter_0_100"):
        errors = POINT_PROTOCOLS[name].errors(predicted, labelled, weight)
        assert np.isnan(errors[0]).all()
        np.testing.assert_allclose(errors[1:], 0, atol=1e-9)
    turned = labelled[:, :, [1, 0, 2]]
    assert np.nanmax(POINT_PROTOCOLS["dexter_20_50"].errors(turned, labelled, weight)) > 1  # no rotation


def test_2d_protocols(rng):
    labelled = rng.uniform(0, 256, (5, 21, 2))
    predicted = labelled + [3.0, 4.0]
    weight, size = np.ones((5, 21)), np.array([50.0, 100, 100, 100, 100])
    pixels = POINT_PROTOCOLS["pixels_0_30"]
    errors = pixels.errors(predicted, labelled, weight)
    np.testing.assert_allclose(errors, 5)
    steps = np.linspace(0, 30, 20)
    assert pixels.metrics(errors)["auc"] == pytest.approx(np.trapz((steps >= 5).astype(float), steps) / 30)
    assert POINT_PROTOCOLS["mmpose"].metrics(errors)["auc"] == pytest.approx(np.mean(np.arange(20) * 1.5 > 5))
    heads = POINT_PROTOCOLS["pckh"].errors(predicted, labelled, weight, size)
    np.testing.assert_allclose(heads[:, 0], [0.1, 0.05, 0.05, 0.05, 0.05])
    nsrm = POINT_PROTOCOLS["nsrm"]
    curve = nsrm.metrics(nsrm.errors(predicted, labelled, weight, size))["curve"]
    np.testing.assert_allclose(curve, [0, 0.8, 0.8, 0.8, 1], atol=1e-12)  # .1 is not strictly below .1


def test_every_protocol_says_what_it_does():
    words = [protocol.words for protocol in POINT_PROTOCOLS.values()]
    assert len(set(words)) == len(words)
    assert POINT_PROTOCOLS["zimmermann"].words == (
        "Zimmermann and Brox 2017, RHD and STB; 3D, RHD evaluation (the hand with more pixels) and STB B1, side given; its "
        "numbers are from whole pictures, with the palm's centre for a wrist, all joints, visible ones alone, wrist moved to the label's, bone "
        "middle1-middle2 scaled to the label's, PCK (error <= t) at 12 t from 21.05 to 50 mm, trapezoid rule, mean over joints"
    )


def test_the_program(hands, tmp_path, capsys):
    predicted, labelled, weight = hands
    np.savez(tmp_path / "labels.npz", joints=labelled, weight=weight)
    np.savez(tmp_path / "found.npz", joints=predicted)
    out = tmp_path / "out.json"
    files = ["--reference", str(tmp_path / "labels.npz"), "--predictions", str(tmp_path / "found.npz")]
    assert main(["--protocol", "zhou", *files, "--json", str(out)]) == 0
    metrics = json.loads(out.read_text())
    assert metrics["auc"] == pytest.approx(by_hand(*hands, 9, (0, 9), np.linspace(20, 50, 15))[2])
    assert metrics["words"] in capsys.readouterr().out
    assert main(["--protocol", "help"]) == 0
    assert "zimmermann:" in capsys.readouterr().out
    with pytest.raises(UserError, match="divides by 0.7 head sizes: the labels need an array size"):
        measure(POINT_PROTOCOLS["pckh"], {"joints": labelled[..., :2]}, {"joints": labelled[..., :2], "weight": weight})
    with pytest.raises(UserError, match=r"joints has shape \(12, 21, 3\), expected \(12, 21, 2\)"):
        read_points(tmp_path / "labels.npz", 2)
    with pytest.raises(SystemExit):
        main(["--protocol", "zou", *files])
    assert "unknown protocol 'zou'; known are freihand, zimmermann" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "needed"), [("zhou", (9, 0)), ("zimmermann", (0, 9, 10)), ("mobrecon", (0,))])
def test_a_sample_counts_with_its_root_and_scale_alone(name, needed, hands):
    """A label of weight 0 may have any value: it is not used as root or for the scale."""
    protocol, (_, labelled, weight) = POINT_PROTOCOLS[name], hands
    weight = np.ones_like(weight)
    spoiled = labelled.copy()
    for sample, joint in enumerate(needed):
        weight[sample, joint], spoiled[sample, joint] = 0, np.nan
    weight[5, 20], spoiled[5, 20] = 0, np.nan
    errors = protocol.errors(labelled, spoiled, weight)
    assert np.isnan(errors[: len(needed)]).all()
    assert np.isnan(errors[5, 20])
    np.testing.assert_allclose(errors[len(needed) :][~np.isnan(errors[len(needed) :])], 0, atol=1e-9)
    assert np.isnan(errors[len(needed) :]).sum() == 1


def test_hidden_joints_still_move_and_scale(hands, tmp_path):
    """Zimmermann and Brox count only visible joints, but use hidden ones as root and for the scale."""
    protocol, (predicted, labelled, weight) = POINT_PROTOCOLS["zimmermann"], hands
    weight, visible = np.ones_like(weight), np.ones_like(weight)
    visible[:, [0, 9]] = 0
    whole, seen = (
        protocol.errors(predicted, labelled, weight),
        protocol.errors(predicted, labelled, weight, None, visible),
    )
    assert np.isnan(seen[:, [0, 9]]).all()
    np.testing.assert_array_equal(np.delete(seen, [0, 9], axis=1), np.delete(whole, [0, 9], axis=1))
    np.savez(tmp_path / "labels.npz", joints=labelled, visible=visible)
    found = measure(protocol, {"joints": predicted}, read_points(tmp_path / "labels.npz", 3))
    assert found["mean"] == pytest.approx(protocol.metrics(seen)["mean"])


@pytest.mark.parametrize("joints", (1.0, np.zeros(3), np.zeros((2, 20, 3))))
def test_joints_of_another_shape_are_refused(joints, tmp_path):
    np.savez(tmp_path / "other.npz", joints=joints)
    with pytest.raises(UserError, match="joints has shape"):
        read_points(tmp_path / "other.npz", 3)


def test_a_file_without_samples_is_refused():
    none = {"joints": np.zeros((0, 21, 3)), "weight": np.zeros((0, 21))}
    with pytest.raises(UserError, match="no labelled sample"):
        measure(POINT_PROTOCOLS["zhou"], none, none)


def test_a_sample_without_size_is_left_out(rng):
    labelled = rng.uniform(0, 256, (3, 21, 2))
    errors = POINT_PROTOCOLS["nsrm"].errors(labelled + 1, labelled, np.ones((3, 21)), np.array([0, np.nan, 100.0]))
    assert np.isnan(errors[:2]).all()
    np.testing.assert_allclose(errors[2], np.sqrt(2) / 100)
