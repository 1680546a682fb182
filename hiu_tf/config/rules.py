"""Rules for the values of settings: what a value must be, and the words that say so."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from hiu_tf.errors import ConfigError

#: For numbers that have no limit of their own.
MOST = 1e12


class Rule(NamedTuple):
    """What a setting's value must be.

    Attributes:
      fits: whether a value is allowed.
      words: "... must be {words}".
    """

    fits: Callable[[object], bool]
    words: str


def count(least: int = 1) -> Rule:
    """A whole number of at least `least`."""
    return Rule(lambda value: _is_count(value, least), f"a whole number >= {least}")


def counts(length: int | None = None) -> Rule:
    """A list of whole numbers from 1 on; None: of any length."""
    return Rule(
        lambda value: _is_list_of(value, _is_count) and len(value) == (length or len(value)),
        f"a list of {length or 'some'} whole numbers >= 1",
    )


def number(least: float, most: float) -> Rule:
    """A number in [least, most]; NaN never is."""
    return Rule(lambda value: _is_number(value) and least <= value <= most, f"a number in [{least:g}, {most:g}]")


def one_of(*choices) -> Rule:
    """One of the choices."""
    return Rule(lambda value: type(value) in map(type, choices) and value in choices, " or ".join(map(str, choices)))


def switch() -> Rule:
    """True or false."""
    return Rule(lambda value: isinstance(value, bool), "true or false")


def names() -> Rule:
    """A list of at least one name."""
    return Rule(lambda value: _is_list_of(value, lambda name: isinstance(name, str)) and bool(value), "a list of names")


def some_of(*choices: str) -> Rule:
    """A list of some of the choices, or of none."""
    return Rule(lambda value: _is_list_of(value, lambda name: name in choices), f"some of {', '.join(choices)}")


def obey(config, rules: dict[str, Rule], group: str) -> None:
    """Raises ConfigError unless every setting follows its rule."""
    for name, rule in rules.items():
        require(rule.fits(getattr(config, name)), f"{group}.{name}", rule.words, getattr(config, name))


def require(condition: bool, name: str, wish: str, value) -> None:
    """Raises ConfigError if the condition is false. The message names the setting and says what it must be."""
    if not condition:
        raise ConfigError(f"{name} must be {wish}, got {value!r}")


def _is_count(value, least=1):
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_list_of(value, fits):
    return isinstance(value, tuple) and all(map(fits, value))
