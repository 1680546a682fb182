"""The folder of a run: what may change when it goes on."""

from dataclasses import replace

import pytest

from hiu_tf.config.load import load_recipe
from hiu_tf.errors import UserError
from hiu_tf.training.folder import changed_settings, write_recipe
from tests.places import RECIPES


@pytest.mark.parametrize("changed", [{"optimizer": "sgdw"}, {"ema": 0.9}, {"swa_every": 2}])
def test_a_run_does_not_go_on_with_an_optimizer_without_its_state(tmp_path, changed):
    """Its moments would start from zero at a late step; what keeps them may change."""
    before = load_recipe(RECIPES / "quickstart.yaml", ["train.steps=2", "train.ema=0"])
    write_recipe(before, tmp_path)
    longer = replace(before, train=replace(before.train, steps=4))
    other = replace(longer, train=replace(longer.train, **changed))
    (name,) = changed
    with pytest.raises(UserError, match=f"was trained with train.{name} .* use another folder"):
        changed_settings(other, tmp_path)
    assert changed_settings(longer, tmp_path) == ["train.steps 2 -> 4"]
