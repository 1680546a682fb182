"""Paths of a checkout, independent of the current folder."""

from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
RECIPES = REPOSITORY / "pipelines" / "recipes"
SHIPPED = REPOSITORY / "savedmodels" / "hiu_mobile"
