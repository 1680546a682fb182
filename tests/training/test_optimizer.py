"""Optimizers against a plain implementation of their rules in NumPy, float64."""

import numpy as np
import pytest
import tensorflow as tf

from hiu_tf.config.schema import TrainConfig
from hiu_tf.training.optimizer import build_optimizer, take_average

STEPS, RATE, DECAY = 6, 0.1, 0.02


def gradients():
    return np.random.default_rng(2).normal(size=(STEPS, 3))


def run(**settings):
    """The weights after the steps, and their average, if any."""
    config = TrainConfig(steps=10, learning_rate=RATE, weight_decay=DECAY, **settings)
    optimizer, variable = build_optimizer(config), tf.Variable([1.0, -2.0, 0.5], name="kernel")
    for gradient in gradients():
        optimizer.apply_gradients([(tf.constant(gradient, tf.float32), variable)])
    last = variable.numpy()
    assert int(optimizer.iterations.numpy()) == STEPS
    return last, variable.numpy() if take_average(optimizer, [variable]) else None


def course(rule):
    """Weights after each step by a rule (gradient, step) -> update, with decoupled decay times the rate."""
    w, found = np.array([1.0, -2.0, 0.5]), []
    for t, gradient in enumerate(gradients()):
        rate = RATE * (1 - t / 10) ** 0.9
        w = w - rate * DECAY * w
        w = w - rate * rule(gradient, t)
        found.append(w)
    return np.array(found)


class Adam:
    m = v = 0.0

    def __call__(self, gradient, t):
        self.m, self.v = 0.9 * self.m + 0.1 * gradient, 0.999 * self.v + 0.001 * gradient**2
        return self.m / (1 - 0.9 ** (t + 1)) / (np.sqrt(self.v / (1 - 0.999 ** (t + 1))) + 1e-7)


def test_adamw():
    np.testing.assert_allclose(run()[0], course(Adam())[-1], atol=2e-5)
    assert run()[1] is None, "no average was asked for"


def test_ema():
    last, average = run(ema=0.7)
    weights = course(Adam())
    expected = np.array([1.0, -2.0, 0.5])
    for w in weights:
        expected = 0.7 * expected + 0.3 * w
    np.testing.assert_allclose(last, weights[-1], atol=2e-5)
    np.testing.assert_allclose(average, expected, atol=2e-5)


def test_swa():
    """From step 2 on (of 10, swa_from 0.2), every second step."""
    last, average = run(swa_every=2, swa_from=0.2)
    weights = course(Adam())
    np.testing.assert_allclose(last, weights[-1], atol=2e-5)
    np.testing.assert_allclose(average, weights[[2, 4]].mean(axis=0), atol=2e-5)


def test_there_is_no_average_before_swa_starts():
    assert run(swa_every=2, swa_from=0.9)[1] is None


@pytest.mark.parametrize("settings", ({"on_nan": "skip"}, {"precision": "mixed_float16"}))
def test_steps_that_are_not_finite_are_left_out(settings):
    optimizer = build_optimizer(TrainConfig(steps=10, **settings))
    variable = tf.Variable([1.0, 2.0])
    optimizer.apply_gradients([(tf.constant([0.1, np.nan]), variable)])
    np.testing.assert_array_equal(variable, [1.0, 2.0])
    assert int(optimizer.iterations.numpy()) == 1
    optimizer.apply_gradients([(tf.constant([0.1, 0.1]), variable)])
    assert (variable.numpy() < [1.0, 2.0]).all()


def test_norms_and_biases_do_not_decay():
    optimizer = build_optimizer(TrainConfig(steps=10, weight_decay=0.5))
    names = ("kernel", "gamma", "beta", "bias")
    variables = [tf.Variable(1.0, name=f"layer/{name}") for name in names]
    optimizer.apply_gradients([(tf.constant(0.0), variable) for variable in variables])
    assert {name: float(v) < 1 for name, v in zip(names, variables)} == dict(zip(names, (True, False, False, False)))
