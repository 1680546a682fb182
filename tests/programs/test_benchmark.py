"""tools/benchmark.py: a run at its smallest, and limits that fail it."""

import json

import pytest

from hiu_tf.programs import benchmark


@pytest.mark.long
def test_rows_below_a_limit_fail_the_program(tmp_path, capsys):
    target = tmp_path / "new" / "hand.json"
    limits = ["--require", "ratio=1e6", "--require", "ours ms=1e-6", "--require", "rate=1"]
    assert benchmark.main(["hand", "--batches", "1", "--json", str(target), *limits]) == 1
    (rows,) = json.loads(target.read_text())["tables"]
    slowest = min(row["ratio"] for row in rows)
    printed = capsys.readouterr()
    assert printed.err.splitlines() == [
        f"ratio is {slowest:.3g}, required are 1e+06",
        "no table has a column 'rate'; known are batch, step, ours ms, plain ms, ratio, ours MB, plain MB",
    ]
    assert "| forward+backward |" in printed.out


def test_limits_that_are_kept_are_silent():
    assert benchmark.missed([{"ratio": 2.0}, {"ratio": 3.0}], [("ratio", 2.0)]) == []
