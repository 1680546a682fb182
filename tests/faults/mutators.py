"""Seeded random damage to bytes and JSON trees, as disks, networks and people cause it."""

from __future__ import annotations

import copy

import numpy as np

_VALUES = (
    None,
    True,
    -1,
    0,
    1e308,
    float("nan"),
    float("inf"),
    2**63,
    "",
    "x" * 300,
    [],
    {},
    [[]],
    [1, [2]],
    "../x",
    "$\\frac{$",
)
_TOKENS = (
    b"\x00",
    b"\xff" * 8,
    b"-1",
    b"nan",
    b"1e999",
    b"{",
    b"]",
    b"'",
    b"\n",
    b"../",
    b"!!int x",
    b"2020-13-45",
    b"% &*",
)


#: Whether inputs are damaged at all; if not, every door must accept its undamaged input.
damages = True


def mutate(content: bytes, rng: np.random.Generator) -> bytes:
    """Damages the content in one to three ways."""
    if not damages:
        return content
    for _ in range(int(rng.integers(1, 4))):
        content = _KINDS[rng.integers(len(_KINDS))](content, rng)
    return content


def mutate_tree(tree, rng: np.random.Generator):
    """Replaces, removes or repeats one to three values of the JSON tree."""
    tree = copy.deepcopy(tree)
    if not damages:
        return tree
    for _ in range(int(rng.integers(1, 4))):
        places = list(_places(tree))
        if not places:
            return tree
        parent, key = places[rng.integers(len(places))]
        kind = rng.integers(3)
        if kind == 0:
            parent[key] = copy.deepcopy(_VALUES[rng.integers(len(_VALUES))])
        elif kind == 1:
            del parent[key]
        elif isinstance(parent, list):
            parent.insert(int(rng.integers(len(parent) + 1)), copy.deepcopy(parent[key]))
        else:
            parent[key] = [parent[key]]
    return tree


def _places(tree):
    keys = tree if isinstance(tree, dict) else range(min(len(tree), 4)) if isinstance(tree, list) else ()
    for key in list(keys):
        yield tree, key
        yield from _places(tree[key])


def _flip(content, rng):
    array = np.frombuffer(content, np.uint8).copy()
    if len(array):
        places = rng.integers(len(array), size=int(rng.integers(1, 9)))
        array[places] ^= (1 << rng.integers(8, size=len(places))).astype(np.uint8)
    return array.tobytes()


def _cut(content, rng):
    return content[: int(rng.integers(len(content) + 1))]


def _blank(content, rng):
    start, length = int(rng.integers(len(content) + 1)), int(rng.integers(1, 200))
    return content[:start] + bytes(min(length, max(len(content) - start, 0))) + content[start + length :]


def _insert(content, rng):
    start = int(rng.integers(len(content) + 1))
    return content[:start] + _TOKENS[rng.integers(len(_TOKENS))] + content[start:]


def _remove(content, rng):
    start = int(rng.integers(len(content) + 1))
    return content[:start] + content[start + int(rng.integers(1, 100)) :]


def _repeat(content, rng):
    start = int(rng.integers(len(content) + 1))
    return content[:start] + content[start : start + 100] + content[start:]


def _garbage(content, rng):
    return rng.bytes(int(rng.integers(0, 300)))


_KINDS = (_flip, _flip, _flip, _cut, _blank, _insert, _insert, _remove, _repeat, _garbage)
