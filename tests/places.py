"""Paths of a checkout, independent of the current folder."""

from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
RECIPES = REPOSITORY / "pipelines" / "recipes"
SHIPPED = REPOSITORY / "savedmodels" / "hiu_mobile"


def quickstart(data, out, *settings) -> list[str]:
    """Arguments of `hiu train` for the smallest recipe on a folder of records, with settings of --set."""
    options = [part for setting in settings for part in ("--set", setting)]
    return ["--recipe", str(RECIPES / "quickstart.yaml"), "--data", str(data), "--out", str(out), *options]
