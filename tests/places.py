"""Where things of a checkout are, whatever the current folder is."""

from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
RECIPES = REPOSITORY / "pipelines" / "recipes"
