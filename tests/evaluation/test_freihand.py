"""The official metrics against a plain implementation, sample by sample, with SciPy's Procrustes."""

import json

import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes
from scipy.spatial.distance import cdist

from hiu_tf.errors import UserError
from hiu_tf.evaluation.freihand import NAMES, mirrored_share, official_metrics, read_predictions
from hiu_tf.geometry.alignment import is_mirrored, procrustes
from hiu_tf.metrics.mesh import f_scores
from hiu_tf.programs.evaluate import main


def align(truth, found):
    """Aligns sample by sample, as described by the benchmark."""
    truth_mean, found_mean = truth.mean(axis=0), found.mean(axis=0)
    a, b = truth - truth_mean, found - found_mean
    a_norm, b_norm = np.linalg.norm(a) + 1e-8, np.linalg.norm(b) + 1e-8
    rotation, scale = orthogonal_procrustes(a / a_norm, b / b_norm)
    return (b / b_norm) @ rotation.T * scale * a_norm + truth_mean


def measures(truth, found):
    """(mean error, area under PCK) by loops over points."""
    thresholds = np.linspace(0, 0.05, 100)
    means, areas = [], []
    for point in range(truth.shape[1]):
        errors = np.sqrt(((truth[:, point] - found[:, point]) ** 2).sum(axis=1))
        curve = [np.mean(errors <= threshold) for threshold in thresholds]
        means.append(errors.mean())
        areas.append(np.trapz(curve, thresholds) / 0.05)
    return 100 * np.mean(means), np.mean(areas)


def f_score(truth, found, threshold):
    distance = cdist(found, truth)
    precision, recall = (distance.min(axis=1) < threshold).mean(), (distance.min(axis=0) < threshold).mean()
    return 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0


def reference(predicted, labelled):
    metrics = {}
    for name, key in (("xyz", "xyz"), ("mesh", "verts")):
        truth, found = labelled[key], predicted[key]
        aligned = np.stack([align(t, f) for t, f in zip(truth, found)])
        metrics[f"{name}_mean3d"], metrics[f"{name}_auc3d"] = measures(truth, found)
        metrics[f"{name}_al_mean3d"], metrics[f"{name}_al_auc3d"] = measures(truth, aligned)
        if key == "verts":
            for mm in (5, 15):
                metrics[f"f_score_{mm}"] = np.mean([f_score(t, f, mm / 1000) for t, f in zip(truth, found)])
                metrics[f"f_al_score_{mm}"] = np.mean([f_score(t, f, mm / 1000) for t, f in zip(truth, aligned)])
    return metrics


@pytest.fixture
def samples(rng):
    """Six hands with errors of about 8 mm, one of them mirrored, one all zeros."""
    labelled = {
        "xyz": rng.normal(0, 0.05, (6, 21, 3)) + [0, 0, 0.7],
        "verts": rng.normal(0, 0.05, (6, 778, 3)) + [0, 0, 0.7],
    }
    predicted = {key: values + rng.normal(0, 0.008, values.shape) for key, values in labelled.items()}
    for values in predicted.values():
        values[1, :, 0] *= -1
        values[2] = 0
        values[3] *= 1.3
    return predicted, labelled


def test_every_metric_equals_the_protocol_written_out(samples):
    found, expected = official_metrics(*samples), reference(*samples)
    assert tuple(found) == NAMES
    assert set(expected) == set(NAMES)
    for name in NAMES:
        assert found[name] == pytest.approx(expected[name], abs=1e-7), name


def test_labels_themselves_and_a_known_shift(samples):
    _, labelled = samples
    metrics = official_metrics(labelled, labelled)
    assert metrics["xyz_mean3d"] == 0
    for name in ("mesh_auc3d", "f_score_5", "f_score_15"):
        assert metrics[name] == pytest.approx(1.0)
    shifted = {key: values + [0.02, 0, 0] for key, values in labelled.items()}
    metrics = official_metrics(shifted, labelled)
    assert metrics["xyz_mean3d"] == pytest.approx(2.0)
    assert metrics["xyz_al_mean3d"] == pytest.approx(0.0, abs=1e-9)


def test_procrustes_with_and_without_reflection(rng):
    target = rng.normal(size=(5, 21, 3))
    mirrored = target * [-1, 1, 1]
    np.testing.assert_allclose(procrustes(mirrored, target, reflection=True), target, atol=1e-9)
    assert np.abs(procrustes(mirrored, target) - target).max() > 0.1
    assert is_mirrored(mirrored, target).all()
    assert not is_mirrored(2 * target + 1, target).any()


def test_f_score_by_hand():
    """Two of four predicted points are near, one of two labelled ones: F = 2 * .5 * .5 / 1."""
    predicted = np.array([[[0, 0, 0], [0.001, 0, 0], [1, 0, 0], [2, 0, 0]]], float)
    labelled = np.array([[[0, 0, 0.002], [5, 0, 0]]], float)
    np.testing.assert_allclose(f_scores(predicted, labelled, (0.005, 1e-6)), [[0.5, 0.0]])


@pytest.fixture
def files(samples, tmp_path):
    predicted, labelled = samples
    for key, values in labelled.items():
        (tmp_path / f"evaluation_{key}.json").write_text(json.dumps(values.tolist()))
    (tmp_path / "pred.json").write_text(json.dumps([predicted["xyz"].tolist(), predicted["verts"].tolist()]))
    np.savez(tmp_path / "pred.npz", **predicted)
    return tmp_path


@pytest.mark.parametrize("name", ["pred.json", "pred.npz"])
def test_the_program_writes_the_twelve_metrics(files, samples, name):
    out = files / "scores.json"
    arguments = [
        "--protocol",
        "freihand",
        "--reference",
        str(files),
        "--predictions",
        str(files / name),
        "--json",
        str(out),
    ]
    assert main(arguments) == 0
    found = json.loads(out.read_text())
    expected = reference(*samples)
    assert tuple(found) == NAMES
    for metric in NAMES:
        assert found[metric] == pytest.approx(expected[metric], abs=1e-7)


def test_mirrored_predictions_are_called_so(files, samples, capsys):
    predicted, labelled = samples
    mirrored = {key: values * [-1, 1, 1] for key, values in labelled.items()}
    assert mirrored_share(mirrored, labelled) == 1
    np.savez(files / "mirrored.npz", **mirrored)
    main(["--protocol", "freihand", "--reference", str(files), "--predictions", str(files / "mirrored.npz")])
    assert "your predictions may be mirrored: for 100%" in capsys.readouterr().err


def test_wrong_predictions_are_named(files, samples):
    predicted, _ = samples
    np.savez(files / "few.npz", xyz=predicted["xyz"][:4], verts=predicted["verts"])
    with pytest.raises(UserError, match="xyz has 4 samples, the labels have 6"):
        read_predictions(files / "few.npz", 6)
    np.savez(files / "other.npz", xyz=predicted["xyz"], verts=predicted["verts"][:, :100])
    with pytest.raises(UserError, match=r"meshes: shape \(6, 100, 3\), expected \(samples, 778, 3\)"):
        read_predictions(files / "other.npz", 6)
    predicted["xyz"][4, 0, 0] = np.nan
    whole = (files / "other.npz").read_bytes()
    for name, content in (("cut", whole[: len(whole) // 2]), ("empty", b""), ("text", b"no archive")):
        (files / f"{name}.npz").write_bytes(content)
        with pytest.raises(UserError, match=f"{name}.npz holds no arrays xyz and verts"):
            read_predictions(files / f"{name}.npz", 6)
    np.savez(files / "nan.npz", **predicted)
    with pytest.raises(UserError, match="sample 4 holds a value that is not finite"):
        read_predictions(files / "nan.npz", 6)
    (files / "broken.json").write_text("[[1, 2]")
    with pytest.raises(UserError, match="broken.json is no JSON"):
        read_predictions(files / "broken.json", 6)
