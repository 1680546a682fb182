import dataclasses

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from hiu_tf.config.preset_costs import COSTS
from hiu_tf.config.presets import PRESETS, model_config
from hiu_tf.config.schema import ModelConfig
from hiu_tf.conventions import keys
from hiu_tf.errors import ConfigError, UserError
from hiu_tf.models.attention import TaskMixture
from hiu_tf.models.cost import macs, network_cost
from hiu_tf.models.encoder import load_resnet50
from hiu_tf.models.hiu import build_hiu, inference_network
from hiu_tf.models.reconstruction import reconstruct
from hiu_tf.models.regressor import HandParameters


def expected_shapes(size):
    half = size // 2
    return {
        keys.HEATMAPS: (None, half, half, 21),
        keys.MASK_LOGITS: (None, size, size, 1),
        keys.POF: (None, half, half, 60),
        keys.SHAPE: (None, 10),
        keys.POSE: (None, 15, 3),
        keys.ROTATION: (None, 3),
        keys.TRANSLATION: (None, 3),
    }


@pytest.mark.parametrize("stacks", [1, 2, pytest.param(4, marks=pytest.mark.slow)])
def test_outputs_of_the_published_size(stacks):
    """256 pixels, the published widths cut to a sixteenth so that three networks fit in a test."""
    narrow = dataclasses.replace(
        model_config("tiny"), image_size=256, stacks=stacks, encoder_repetitions=(3, 4, 5, 6), stem_channels=(4, 8)
    )
    network = build_hiu(narrow)
    assert len(network.output) == stacks
    for outputs in network.output:
        assert {name: tuple(value.shape) for name, value in outputs.items()} == expected_shapes(256)
        assert all(value.dtype == tf.float32 for value in outputs.values())


def conv(inputs, outputs, size):
    """Parameters of a convolution without bias and its batch normalisation."""
    return size * size * inputs * outputs + 4 * outputs


def resnet_body(inputs, channels, repetitions):
    """Parameters of conv2_x..conv5_x, counted by hand."""
    total = 0
    for width, count in zip(channels, repetitions):
        for _ in range(count):
            middle = width // 4
            total += conv(inputs, middle, 1) + conv(middle, middle, 3) + conv(middle, width, 1)
            total += conv(inputs, width, 1) if inputs != width else 0
            inputs = width
    return total


def test_published_one_stack_network():
    """Names, sizes and every parameter of the 1-stack network, counted from the supplement's layer list."""
    network = build_hiu(PRESETS["hiu_1stack"])
    assert network.output[0][keys.HEATMAPS].shape == (None, 128, 128, 21)
    assert network.get_layer("stack1_attention_mix").output_shape == (None, 64, 64, 256)
    widths = (256, 512, 1024, 2048)
    top_down = 3 * (2 * conv(256, 256, 3) + conv(256, 256, 1)) + sum(conv(width, 256, 1) for width in widths)
    decoders = sum(top_down + 2 * conv(256, 256, 3) + 9 * 256 * out + out for out in (21, 1, 60))
    points = (768, 768, 256, 256, 256, 768)
    attention = sum(conv(a, b, 1) for a, b in zip(points, points[1:])) + 768 * 768 + 768
    hidden = conv(2048, 512, 1) + 2 * conv(512, 512, 1) + 512 * 61 + 61
    regressor = resnet_body(128 + 256, widths, (3, 3, 3, 3)) + hidden
    stem = conv(3, 64, 7) + conv(64, 128, 7)
    assert network.count_params() == stem + resnet_body(128, widths, (3, 4, 5, 6)) + decoders + attention + regressor


def test_one_regressor_serves_all_stacks():
    network = build_hiu(dataclasses.replace(model_config("tiny"), stacks=2))
    regressors = [layer for layer in network.layers if layer.name == "regressor"]
    assert len(regressors) == 1
    assert len(regressors[0].inbound_nodes) == 2  # one call per stack


def test_every_weight_gets_a_gradient(tiny_network, hand):
    image = tf.random.stateless_uniform([2, 64, 64, 3], [1, 2])
    with tf.GradientTape() as tape:
        total = 0.0
        for outputs in tiny_network(image, training=True):
            outputs = reconstruct(outputs, hand, 64)
            total += sum(tf.reduce_sum(tf.square(value)) for value in outputs.values())
    for variable, gradient in zip(
        tiny_network.trainable_variables, tape.gradient(total, tiny_network.trainable_variables)
    ):
        assert gradient is not None, variable.name
        assert np.isfinite(gradient.numpy() if not isinstance(gradient, tf.IndexedSlices) else gradient.values).all(), (
            variable.name
        )


def test_parameters_of_zero_are_the_reference_view():
    """Fingers up, thumb side to the camera."""
    parameters = HandParameters()(tf.zeros([1, 61]))
    from scipy.spatial.transform import Rotation

    turn = Rotation.from_rotvec(parameters[keys.ROTATION].numpy()[0])
    np.testing.assert_allclose(turn.apply([-1, 0, 0]), [0, -1, 0], atol=1e-5)  # fingers up
    np.testing.assert_allclose(turn.apply([0, 0, 1]), [0, 0, -1], atol=1e-5)  # thumb side to the camera


@pytest.mark.parametrize("fusion", ["mean", "concat", "none"])
def test_other_fusions_have_the_same_outputs(fusion, tiny_network):
    other = build_hiu(model_config("tiny", {"fusion": fusion}))
    assert [o.shape for o in tf.nest.flatten(other.outputs)] == [o.shape for o in tf.nest.flatten(tiny_network.outputs)]
    assert other.count_params() < tiny_network.count_params()
    assert not any("_scores" in layer.name for layer in other.layers)


def test_settings_of_a_preset_can_be_changed():
    assert model_config("tiny", {"stacks": 2, "stem_channels": [4, 8]}).stem_channels == (4, 8)
    with pytest.raises(ConfigError, match="unknown setting network.stack; known are"):
        model_config("tiny", {"stack": 2})
    with pytest.raises(ConfigError, match="network.fusion must be attention or mean or concat or none, got 'sum'"):
        model_config("tiny", {"fusion": "sum"})


@pytest.mark.parametrize(
    "name, value, words",
    [
        ("stacks", 1.5, "a whole number >= 1"),
        ("stacks", True, "a whole number >= 1"),
        ("feature_channels", 0, "a whole number >= 1"),
        ("head_convolutions", -1, "a whole number >= 0"),
        ("predict_kernel", "3", "a whole number >= 1"),
        ("image_size", 0, "a whole number >= 32"),
        ("image_size", 100, "a multiple of 32"),
        ("encoder_channels", [8, 8, 8], "a list of 4 whole numbers >= 1"),
        ("encoder_channels", 8, "a list of 4 whole numbers >= 1"),
        ("regressor_hidden", [16, 0.5], "a list of some whole numbers >= 1"),
        ("regressor_extra", "joints", "some of encoder, joints, joint_attention"),
        ("regressor_extra", [["joints"]], "some of encoder, joints, joint_attention"),
        ("tasks", [], "a list of names"),
        ("tasks", 5, "a list of names"),
        ("batch_norm_momentum", None, r"a number in \[0, 1\]"),
        ("batch_norm_momentum", 1.5, r"a number in \[0, 1\]"),
        ("batch_norm_synchronized", "yes", "true or false"),
    ],
)
def test_impossible_settings_of_a_network_are_refused(name, value, words):
    with pytest.raises(ConfigError, match=f"network.{name} must be {words}, got"):
        model_config("tiny", {name: value})


def test_macs_of_a_convolution_by_hand():
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, strides=2, padding="same")(image)
    shared = _point(4)
    network = keras.Model(image, [shared(x), shared(x)])
    assert macs(network) == 4 * 4 * 4 * 9 * 3 + 2 * (4 * 4 * 5 * 4)


def _point(channels):
    inner = keras.Input((4, 4, channels))
    return keras.Model(inner, keras.layers.Conv2D(5, 1)(inner))


def test_macs_of_a_depthwise_convolution_by_hand():
    image = keras.Input((8, 8, 6))
    network = keras.Model(image, keras.layers.DepthwiseConv2D(3, strides=2, padding="same")(image))
    assert macs(network) == 4 * 4 * 6 * 9


@pytest.mark.parametrize("name", [name for name, cost in COSTS.items() if cost.parameters < 5e6 and "_64" not in name])
def test_pinned_costs(name):
    assert_pinned(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, cost in COSTS.items() if cost.parameters >= 5e6 or "_64" in name])
def test_pinned_costs_of_large_networks(name):
    assert_pinned(name)


def assert_pinned(name):
    counted = network_cost(model_config(name))
    assert counted[:4] == COSTS[name][:4]
    assert counted.activations_mb == pytest.approx(COSTS[name].activations_mb, abs=0.05)


def test_every_preset_has_its_cost():
    assert list(COSTS) == list(PRESETS)


@pytest.mark.parametrize(
    "trio",
    [("hiu_1stack", "hiu_2stack_equal", "hiu_4stack_equal"),
     ("hiu_small_64", "hiu_small_64_2stack_equal", "hiu_small_64_4stack_equal")],
)  # fmt: skip
def test_the_trios_of_the_cascade_ablation_cost_the_same(trio):
    costs = [COSTS[name].macs for name in trio]
    assert max(costs) < 1.05 * min(costs)


def test_phone_presets_keep_their_budgets():
    mobile, edge = COSTS["hiu_mobile"], COSTS["hiu_edge"]
    assert mobile.inference_macs <= 0.45e9
    assert mobile.inference_parameters <= 4e6
    assert edge.inference_macs <= 0.15e9


def test_stacks_add_up():
    """From the second on, every stack costs the same: the stored costs are linear in the number of stacks."""
    by_stacks = {1: "hiu_1stack", 2: "hiu_2stack", 4: "hiu_4stack", 8: "hiu_8stack"}
    step = COSTS["hiu_2stack"].macs - COSTS["hiu_1stack"].macs
    for stacks, name in by_stacks.items():
        if stacks > 1:
            assert (
                COSTS[name].macs
                == COSTS["hiu_2stack"].macs + (stacks - 2) * (COSTS["hiu_4stack"].macs - COSTS["hiu_2stack"].macs) // 2
            )
    assert step < COSTS["hiu_4stack"].macs - COSTS["hiu_2stack"].macs


@pytest.mark.parametrize("cascade", ("stem_and_fused", "fused", "stem_fused_and_maps"))
def test_what_the_next_stack_sees(cascade):
    network = build_hiu(model_config("tiny", {"stacks": 2, "cascade": cascade}))
    seen = network.get_layer("stack2_encoder_g2b1_reduce_conv").input_shape[-1]
    stem, fused, maps = 8, 8, 21 + 1 + 60
    assert seen == {"stem_and_fused": stem + fused, "fused": fused, "stem_fused_and_maps": stem + fused + maps}[cascade]


def test_a_regressor_for_each_stack():
    network = build_hiu(model_config("tiny", {"stacks": 2, "regressor": "per_stack"}))
    assert [layer.name for layer in network.layers if "regressor" in layer.name] == [
        "stack1_regressor",
        "stack2_regressor",
    ]


@pytest.mark.parametrize("changes", ({"head_stride": 2}, {"convolution": "separable", "bottleneck_ratio": 2.0}))
def test_options_keep_the_outputs(changes):
    network = build_hiu(model_config("tiny", changes))
    assert {name: tuple(value.shape) for name, value in network.output[0].items()} == expected_shapes(64)


def test_inference_needs_no_pof_head(tiny_network):
    needed = inference_network(tiny_network)
    assert keys.POF not in needed.output
    assert not any("pof_predict" in layer.name or "pof_head" in layer.name for layer in needed.layers)
    image = tf.random.stateless_uniform([1, 64, 64, 3], [1, 2])
    for name, value in needed(image).items():
        np.testing.assert_allclose(value, tiny_network(image)[-1][name], atol=1e-6)


@pytest.mark.slow
def test_the_encoder_starts_from_resnet50(tmp_path):
    """keras.applications' network with random weights replaces ImageNet's; the encoder gives the same feature maps."""
    keras.utils.set_random_seed(5)
    original = keras.applications.ResNet50(include_top=False, weights=None, input_shape=(64, 64, 3))
    original.save_weights(str(tmp_path / "notop.h5"))
    network = build_hiu(model_config("tiny", {"encoder": "resnet50", "stacks": 2}))
    assert load_resnet50(network, str(tmp_path / "notop.h5")) == 2
    names = ("pool1_pool", "conv2_block3_out", "conv5_block3_out")
    start, finest, coarsest = keras.Model(original.input, [original.get_layer(name).output for name in names])(
        tf.random.stateless_uniform([1, 64, 64, 3], [1, 2])
    )
    levels = network.get_layer("stack2_encoder_resnet50")(start)
    np.testing.assert_allclose(levels[0], finest, atol=1e-5)
    np.testing.assert_allclose(levels[-1], coarsest, atol=1e-5)
    with pytest.raises((OSError, ValueError)):
        load_resnet50(network, __file__)


def test_imagenet_weights_that_cannot_be_fetched(monkeypatch):
    """Keras raises a plain Exception; the user is told which file to fetch elsewhere."""

    def fetch(include_top, weights):
        raise Exception("URL fetch failure on https://somewhere: None -- closed")

    monkeypatch.setattr("hiu_tf.models.encoder.keras.applications.ResNet50", fetch)
    with pytest.raises(UserError, match=r"URL fetch failure .* fetch the file elsewhere and give its path: resnet50_"):
        load_resnet50(None, "imagenet")


def test_unknown_preset_and_bad_sizes():
    with pytest.raises(ConfigError, match="unknown model preset 'big'"):
        model_config("big")
    with pytest.raises(ConfigError, match="multiple of 32"):
        ModelConfig(image_size=100)
    with pytest.raises(ConfigError, match="multiple of 32"):
        ModelConfig(image_size=112)
    assert model_config("hiu_edge", {"image_size": 112}).image_size == 112  # its encoder ends at a sixteenth
    with pytest.raises(ConfigError, match="multiple of 16"):
        model_config("hiu_edge", {"image_size": 120})


@pytest.mark.parametrize("tasks", [1, 2, 3, 5])
def test_the_attention_shares_of_any_number_of_tasks_add_up_to_one(tasks, rng):
    features = [tf.constant(rng.normal(size=(2, 4, 4, 6)), tf.float32) for _ in range(tasks)]
    scores = rng.normal(size=(2, 1, 1, tasks * 6)).astype(np.float32)
    found = TaskMixture()([features, tf.constant(scores)]).numpy()
    shares = np.exp(scores.reshape(2, tasks, 6))
    shares /= shares.sum(axis=1, keepdims=True)
    expected = sum(f.numpy() * shares[:, k, None, None] for k, f in enumerate(features))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_network_may_have_fewer_tasks():
    network = build_hiu(model_config("tiny", {"tasks": ("heatmaps", "hand")}))
    assert set(network.output[-1]) == {keys.HEATMAPS, keys.SHAPE, keys.POSE, keys.ROTATION, keys.TRANSLATION}
    for extra in ("joints", "joint_attention"):
        with pytest.raises(ConfigError, match=f"regressor_extra {extra} needs heatmaps"):
            build_hiu(model_config("tiny", {"tasks": ("mask", "hand"), "regressor_extra": (extra,)}))
    with pytest.raises(ConfigError, match="needs a task with maps"):
        build_hiu(model_config("tiny", {"tasks": ("hand",)}))
