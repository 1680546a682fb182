"""Trains and measures every arm of a grid of experiments with several seeds, and prints one table.

    python tools/ablate.py --grid pipelines/recipes/grids/few_labels.yaml --data data --out runs/few_labels
    python tools/ablate.py --grid GRID --data data --out OUT --seeds 3 --set train.steps=4000

A grid is a YAML file: a recipe, the sets to measure on, and the arms, each a name and the settings that
differ. Each arm and seed is a run of tools/train.py in a folder of its own, measured by
tools/evaluate.py. Runs that are finished are kept: after an interruption the same command goes on.
"""

import argparse
import json
import statistics
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from tools._program import positive, program


@dataclass(frozen=True)
class Grid:
    """One grid of experiments.

    Attributes:
      recipe: path relative to the grid file.
      sets: names under --data to measure on.
      arms: name -> overrides of the recipe.
      split, fold: which part of the sets is measured on.
    """

    recipe: str
    sets: list[str]
    arms: dict[str, list[str]]
    split: str = "val"
    fold: tuple[float, float] = (0.0, 1.0)


def load_grid(path: str) -> Grid:
    """The grid in a YAML file.

    Raises:
      ConfigError: it cannot be read or holds anything else.
    """
    import dacite
    import yaml

    from hiu_tf.config.schema import ConfigError

    try:
        return dacite.from_dict(Grid, yaml.safe_load(Path(path).read_text()), dacite.Config(strict=True, cast=[tuple]))
    except (OSError, yaml.YAMLError, dacite.DaciteError, TypeError) as error:
        raise ConfigError(f"{path} is no grid of experiments: {error}") from error


def run_arm(grid: Grid, recipe: Path, overrides: list[str], data: str, folder: Path) -> dict:
    """Trains and measures one arm with one seed, or reads what was measured. {set: {figure: value}}."""
    from hiu_tf.errors import UserError

    figures = folder / "metrics.json"
    settings = [part for override in overrides for part in ("--set", override)]
    commands = (
        ["tools.train", "--recipe", str(recipe), "--data", data, "--out", str(folder), *settings],
        [
            "tools.evaluate",
            "--run",
            str(folder),
            "--data",
            data,
            "--sets",
            ",".join(grid.sets),
            "--json",
            str(figures),
            "--split",
            grid.split,
            "--fold",
            ",".join(map(str, grid.fold)),
        ],
    )
    folder.mkdir(parents=True, exist_ok=True)
    if not figures.exists():
        for command in commands:
            with open(folder / "output.txt", "a") as output:
                result = subprocess.run([sys.executable, "-m", *command], stdout=output, stderr=output, check=False)
            if result.returncode:
                raise UserError(f"{' '.join(command)} failed: see {folder / 'output.txt'}")
    return {name: predictors["trained"] for name, predictors in json.loads(figures.read_text())["results"].items()}


def table(results: dict[str, list[dict]], dataset: str) -> str:
    """{arm: one {set: {figure: value}} per seed} as Markdown: mean over seeds, and their range in brackets."""
    from hiu_tf.evaluation.protocols import PROTOCOLS

    measured = {arm: [run[dataset] for run in runs] for arm, runs in results.items()}
    used = [p for p in PROTOCOLS if all(p.name in run for runs in measured.values() for run in runs)]
    arrows = [f"{p.name} {'↑' if p.higher_is_better else '↓'} ({p.unit})" for p in used]
    lines = [f"**{dataset}**", "", "| arm | " + " | ".join(arrows) + " |", "|---|" + "---|" * len(used)]
    for arm, runs in measured.items():
        cells = [_cell([run[protocol.name] for run in runs]) for protocol in used]
        lines.append(f"| {arm} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(values):
    digits = 3 if max(map(abs, values)) < 10 else 1
    mean = f"{statistics.mean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def parse_args(argv):
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grid", required=True, help="YAML file, see pipelines/recipes/grids")
    parser.add_argument("--recipe", help="another recipe than the grid's own")
    parser.add_argument("--sets", help="comma-separated: measure on these sets instead of the grid's own")
    parser.add_argument("--data", required=True, help="folder that holds the records (tools/prepare.py)")
    parser.add_argument("--out", required=True, help="folder of the runs")
    parser.add_argument("--arms", help="comma-separated: only these")
    parser.add_argument("--seeds", type=positive, default=2, help="runs of each arm (default 2)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of every arm")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser.parse_args(argv)


def main(argv=None) -> int:
    """Runs the program; returns the exit code."""
    args = parse_args(argv)
    from tqdm import tqdm

    from hiu_tf.config.load import load_recipe
    from hiu_tf.config.schema import ConfigError

    grid = load_grid(args.grid)
    grid = replace(grid, sets=args.sets.split(",")) if args.sets else grid
    recipe = Path(args.recipe or Path(args.grid).parent / grid.recipe)
    unknown = set(args.arms.split(",")) - set(grid.arms) if args.arms else set()
    if unknown:
        raise ConfigError(f"{args.grid} has no arm {sorted(unknown)[0]!r}; known are {', '.join(grid.arms)}")
    arms = {name: grid.arms[name] for name in (args.arms.split(",") if args.arms else grid.arms)}
    for overrides in arms.values():
        load_recipe(recipe, [*overrides, *args.set])  # refuse a bad setting before hours of work
    results = {name: [] for name in arms}
    # Seed by seed, so that an unfinished grid already compares all arms.
    for seed, name in tqdm([(seed, name) for seed in range(1, args.seeds + 1) for name in arms], unit="run"):
        overrides = [*arms[name], *args.set, f"train.seed={seed}"]
        folder = Path(args.out) / name.replace(" ", "_") / f"seed{seed}"
        results[name].append(run_arm(grid, recipe, overrides, args.data, folder))
    tables = "\n\n".join(table(results, dataset) for dataset in grid.sets)
    (Path(args.out) / "table.md").write_text(tables + "\n")
    print(tables)
    return 0


if __name__ == "__main__":
    sys.exit(program(main))
