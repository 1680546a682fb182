"""The detector learns, resumes after an interruption, and its exported file gives the same predictions."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from hiu_tf.codecs.centres import CHANNELS, PRIOR_LOGIT, encode
from hiu_tf.config.detection import DetectorConfig
from hiu_tf.config.load import load_detector_recipe
from hiu_tf.errors import ConfigError, UserError
from hiu_tf.exporting.detector import detector_card, export_detector
from hiu_tf.losses.detection import detection_losses
from hiu_tf.models.detector import build_detector
from hiu_tf.programs.detector import main
from hiu_tf.runtime.detector import MAPS, Detector
from hiu_tf.training.detector import DetectorTrainer, load_detector, train_detector
from hiu_tf.training.folder import RECIPE
from tests.places import RECIPES

SIZE = 64
HANDS = np.array([[10.0, 12, 24, 30, 0.6, 0.8, 1, 1], [40, 36, 14, 12, 0, 0, -1, 1]])


def recipe(steps):
    settings = ["network.image_size=64", 'train.encoder_weights=""', "train.freeze=[]", "train.batch_size=2"]
    settings += [
        "train.steps_per_epoch=5",
        f"train.steps={steps}",
        "train.warmup_steps=0",
        "train.ema=0",
        "loss.size=1",
    ]
    return load_detector_recipe(RECIPES / "hand_detector.yaml", settings)


def batches(start):
    """Endless batches of the same picture with two patches."""
    del start
    picture = np.full((SIZE, SIZE, 3), 0.2, np.float32)
    for x, y, w, h, *_ in HANDS.astype(int):
        picture[y : y + h, x : x + w] = (0.8, 0.5, 0.4)
    targets = {name: value.astype(np.float32) for name, value in encode(HANDS, SIZE // 4).items()}
    return tf.data.Dataset.from_tensors((picture, targets)).repeat().batch(2)


def numpy_losses(targets, maps):
    """The losses of one picture, computed in NumPy in float64."""
    t, m = {k: v.astype(np.float64) for k, v in targets.items()}, maps.astype(np.float64)
    hands = max((t["centre"] == 1).sum(), 1)
    p = 1 / (1 + np.exp(-(m[..., 0] + PRIOR_LOGIT)))
    centre = np.where(t["centre"] == 1, -((1 - p) ** 2) * np.log(p), -((1 - t["centre"]) ** 4) * p**2 * np.log(1 - p))
    scale = np.sqrt(np.exp(t["box"][..., 2:]).prod(axis=-1))
    place = np.abs(m[..., 1:3] - t["box"][..., :2]).sum(axis=-1) / scale
    size = np.abs(m[..., 3:5] - t["box"][..., 2:]).sum(axis=-1)
    direction = ((m[..., 5:7] - t["direction"]) ** 2).sum(axis=-1)
    q = 1 / (1 + np.exp(-m[..., 7]))
    side = -(t["left"] * np.log(q) + (1 - t["left"]) * np.log(1 - q))
    return {
        "centre": (t["centre_weight"] * centre).sum() / hands,
        "place": (t["box_weight"] * place).sum() / hands,
        "size": (t["box_weight"] * size).sum() / hands,
        "direction": (t["direction_weight"] * direction).sum() / t["direction_weight"].sum(),
        "side": (t["left_weight"] * side).sum() / t["left_weight"].sum(),
    }


def test_losses_are_their_formulas(rng):
    targets = encode(HANDS, 16)
    maps = rng.normal(0, 1, (16, 16, CHANNELS)).astype(np.float32)
    batch = {name: tf.constant(value[None], tf.float32) for name, value in targets.items()}
    found = detection_losses(batch, tf.constant(maps[None]))
    for name, value in numpy_losses(targets, maps).items():
        assert float(found[name]) == pytest.approx(value, rel=1e-4), name


def test_what_has_no_label_has_no_gradient(rng):
    targets = encode(np.array([[10.0, 12, 24, 30, 0, 0, -1, 1]]), 16)
    batch = {name: tf.constant(value[None], tf.float32) for name, value in targets.items()}
    maps = tf.Variable(rng.normal(0, 1, (1, 16, 16, CHANNELS)).astype(np.float32))
    with tf.GradientTape() as tape:
        losses = detection_losses(batch, maps)
        total = losses["direction"] + losses["side"]
    assert not np.any(tape.gradient(total, maps))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("detector")
    network = train_detector(recipe(40), batches, folder)
    return network, folder


@pytest.mark.long
def test_it_learns(run):
    network, _ = run
    image, targets = next(iter(batches(0)))
    before = detection_losses(targets, build_detector(DetectorConfig(image_size=SIZE))(image, training=True))
    after = detection_losses(targets, network(image, training=True))
    for name in ("centre", "size", "direction"):
        assert float(after[name]) < 0.5 * float(before[name]), name


@pytest.mark.long
def test_a_run_goes_on_and_a_finished_one_stays(run, tmp_path, monkeypatch):
    traced, step = [], DetectorTrainer.train_step
    monkeypatch.setattr(DetectorTrainer, "train_step", lambda self, data: traced.append(1) or step(self, data))
    train_detector(recipe(5), batches, tmp_path)
    assert len(traced) == 1
    whole = train_detector(recipe(10), batches, tmp_path)  # resumes at step 5
    again, config = load_detector(tmp_path)
    for a, b in zip(whole.get_weights(), again.get_weights()):
        np.testing.assert_array_equal(a, b)
    assert config.image_size == SIZE
    written = (tmp_path / RECIPE).read_text()
    train_detector(replace(recipe(8), loss={"size": 2.0}), batches, tmp_path)  # finished: nothing changes
    assert (tmp_path / RECIPE).read_text() == written
    wider = replace(recipe(12), network=DetectorConfig(image_size=SIZE, feature_channels=16))
    with pytest.raises(UserError, match="holds a run of another network"):
        train_detector(wider, batches, tmp_path)
    assert load_detector(tmp_path, 96)[0].input_shape[1] == 96
    with pytest.raises(UserError, match="no finished run of a detector"):
        load_detector(tmp_path / "nowhere")


@pytest.mark.long
def test_a_detector_of_other_settings_is_trained_on_from_its_export(tmp_path):
    config = DetectorConfig(image_size=SIZE, feature_channels=16, batch_norm_momentum=0.9)
    network = build_detector(config)
    export_detector(network, tmp_path, detector_card(config, 0.3, None), "# card")
    again, found = load_detector(tmp_path)
    assert found == config
    for mine, saved in zip(again.get_weights(), network.get_weights()):
        np.testing.assert_array_equal(mine, saved)
    with pytest.raises(SystemExit):
        main(["export", "--run", str(tmp_path), "--out", str(tmp_path / "out"), "--min-score", "2"])
    (tmp_path / "metrics.json").write_text("{}")
    with pytest.raises(UserError, match="metrics.json is no JSON of an evaluation"):
        main(["export", "--run", str(tmp_path), "--out", str(tmp_path / "out"), "--metrics", str(tmp_path / "metrics.json")])  # fmt: skip


def test_a_loss_that_there_is_not(tmp_path):
    with pytest.raises(ConfigError, match="there is no centres, only centre, place"):
        train_detector(replace(recipe(5), loss={"centres": 1.0}), batches, tmp_path)


@pytest.mark.long
def test_the_file_computes_what_the_network_does(run, tmp_path, rng):
    network, _ = run
    file, version = export_detector(
        network, tmp_path, detector_card(DetectorConfig(image_size=SIZE), 0.3, None), "# card"
    )
    assert version.name == "1" and (tmp_path / "card.md").is_file()
    detector = Detector(file)
    image = rng.random((1, SIZE, SIZE, 3)).astype(np.float32)
    wanted = network(image, training=False).numpy()
    np.testing.assert_allclose(detector._network(image)[MAPS], wanted, atol=0.02 * np.abs(wanted).max())
    blank = np.full_like(image, np.nan)
    assert np.all(np.isfinite(detector._network(blank)[MAPS]))
