"""Damaged inputs for every door: a clear refusal or a valid result, never a traceback, hang, crash or nonsense."""

import pytest

from tests.faults.doors import DOORS
from tests.faults.run import FAULTS, run, table


def check(count, seed, model):
    counts, faults = run(list(DOORS), count, seed, model)
    print(table(counts))
    for name, found in counts.items():
        assert sum(found.values()) == count + 1, f"{name}: some attempts are missing"
        assert found["good"], f"{name} takes nothing at all"
    assert not [line for line in faults if line.split()[2].rstrip(":") in FAULTS], "\n".join(faults)


@pytest.mark.long
def test_some_of_each_door(exported_once):
    check(50, 0, exported_once)


@pytest.mark.slow
def test_many_of_each_door(exported_once):
    check(2000, 1, exported_once)
