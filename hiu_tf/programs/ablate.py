"""Trains and measures every arm of a grid of experiments with several seeds, and prints one table.

    hiu ablate --grid pipelines/recipes/grids/few_labels.yaml --data data --out runs/few_labels
    hiu ablate --grid GRID --data data --out OUT --seeds 3 --set train.steps=4000

A grid is a YAML file: a recipe, the sets to evaluate on, and the arms, each a name and the settings that
differ from the recipe. Each arm and seed is a run of hiu train in a folder of its own, evaluated by
hiu evaluate. Finished runs are kept: after an interruption the same command resumes the grid. The
tables have the columns of the paper's Table 5, mean ± standard deviation (n - 1) over the seeds, with published
numbers where they are known; --table prints them from the existing results.
"""

import argparse
import json
import statistics
import subprocess
import sys
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from hiu_tf.commands.values import names, positive
from hiu_tf.programs._program import program

#: File of a run's metrics, and the name of the trained network in it.
METRICS, TRAINED = "metrics.json", "trained"
#: File with the settings of a run: its recipe, and the sets it is evaluated on.
REQUEST = "request.json"


@dataclass(frozen=True)
class Grid:
    """One grid of experiments.

    Attributes:
      recipe: path relative to the grid file.
      sets: names under --data to evaluate on.
      arms: name -> overrides of the recipe.
      split, fold: the part of the sets to evaluate on.
      published: arm -> the paper's numbers in the order of `COLUMNS`.
      every_stack: arms of which every stack is evaluated.
    """

    recipe: str
    sets: list[str]
    arms: dict[str, list[str]]
    split: str = "val"
    fold: tuple[float, float] = (0.0, 1.0)
    published: dict[str, list[float]] = field(default_factory=dict)
    every_stack: list[str] = field(default_factory=list)


#: The paper's table: its columns (supplement, Table 5; a dagger: projected from 3D) and our metrics for them.
COLUMNS = {
    "2D pose": "joints_2d_auc",
    "2D pose†": "projected_2d_auc",
    "mask": "mask_iou",
    "mask†": "rendered_mask_iou",
    "3D pose": "joints_3d_aligned_auc",
    "mesh": "mesh_aligned_auc",
}


def load_grid(path: str) -> Grid:
    """Reads a grid from a YAML file.

    Raises:
      ConfigError: the file cannot be read or is not a grid.
    """
    import dacite
    import yaml

    from hiu_tf.errors import ConfigError

    try:
        return dacite.from_dict(Grid, yaml.safe_load(Path(path).read_text()), dacite.Config(strict=True, cast=[tuple]))
    except (OSError, yaml.YAMLError, dacite.DaciteError, TypeError) as error:
        raise ConfigError(f"{path} is no grid of experiments: {error}") from error


def run_arm(grid: Grid, recipe: Path, name: str, overrides: list[str], data: str, folder: Path) -> None:
    """Trains and evaluates one arm with one seed, unless this is already done.

    Raises:
      UserError: the folder contains a run of another recipe, or a program failed.
    """
    from hiu_tf.config.load import load_recipe
    from hiu_tf.errors import UserError
    from hiu_tf.runtime.results import write_json

    settings = [part for override in overrides for part in ("--set", override)]
    measured = ["--sets", ",".join(grid.sets), "--split", grid.split, "--fold", ",".join(map(str, grid.fold))]
    measured += ["--every-stack"] if name in grid.every_stack else []
    commands = (
        ["hiu_tf.programs.train", "--recipe", str(recipe), "--data", data, "--out", str(folder), *settings],
        ["hiu_tf.programs.evaluate", "--run", str(folder), "--data", data, *measured, "--json", str(folder / METRICS)],
    )
    request = json.loads(json.dumps({"recipe": asdict(load_recipe(recipe, overrides)), "measured": measured}))
    before = json.loads((folder / REQUEST).read_text()) if (folder / REQUEST).exists() else request
    if before["recipe"] != request["recipe"]:
        raise UserError(f"{folder} holds a run by another recipe: give another --out, or remove the folder")
    if before == request and (folder / METRICS).exists():
        return
    (folder / METRICS).unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / REQUEST, request)
    for command in commands:
        with open(folder / "output.txt", "a") as output:
            result = subprocess.run([sys.executable, "-m", *command], stdout=output, stderr=output, check=False)
        if result.returncode:
            raise UserError(
                f"{' '.join(command)} failed: {_last_line(folder / 'output.txt')} (all of it: {folder / 'output.txt'})"
            )


def _last_line(path):
    """What a program said last, which is its error."""
    lines = path.read_text(errors="replace").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")


def read_metrics(folder: Path) -> dict[str, dict]:
    """{row of the table: {set: {metric: value}}} of one evaluated run: the run itself, then its stacks."""
    if not (folder / METRICS).exists():
        return {}
    rows = {}
    for dataset, predictors in json.loads((folder / METRICS).read_text())["results"].items():
        for predictor, metrics in predictors.items():
            if predictor == TRAINED or predictor.startswith("stack"):
                rows.setdefault("" if predictor == TRAINED else f", {predictor}", {})[dataset] = metrics
    return rows


def paper_table(results: dict[str, list[dict]], dataset: str, published: dict) -> str:
    """Table with the paper's columns from {row: one {set: {metric: value}} per seed}; published numbers below rows."""
    from hiu_tf.tables import markdown_table

    lines = []
    for row, runs in results.items():
        there = [run[dataset] for run in runs if dataset in run]
        cells = [_cell([run[metric] for run in there if metric in run]) for metric in COLUMNS.values()]
        lines.append([row, *(cells if there else ["not run"] * len(COLUMNS))])
        if row in published:
            values = [f"{value:.3f}" for value in published[row]]
            lines.append([f"{row}, published (2D, masks: HIU-Data; 3D: FreiHAND)", *values])
    return f"**{dataset}**\n\n{markdown_table(['arm', *COLUMNS], lines)}"


def table(results: dict[str, list[dict]], dataset: str) -> str:
    """Table of every metric from {row: one {set: {metric: value}} per seed}, as Markdown."""
    from hiu_tf.evaluation.metrics import METRICS
    from hiu_tf.tables import markdown_table

    measured = {row: [run[dataset] for run in runs if dataset in run] for row, runs in results.items()}
    measured = {row: runs for row, runs in measured.items() if runs}
    used = [p for p in METRICS if measured and all(p.name in run for runs in measured.values() for run in runs)]
    arrows = [f"{p.name} {'↑' if p.higher_is_better else '↓'} ({p.unit})" for p in used]
    cells = [[row, *(_cell([run[p.name] for run in runs]) for p in used)] for row, runs in measured.items()]
    return f"**{dataset}**\n\n{markdown_table(['arm', *arrows], cells)}"


def _rows(grid, arms, out, seeds):
    """{row: runs} of the finished evaluations: each arm, then its stacks."""
    results = {}
    for name in arms:
        runs = [read_metrics(_folder(out, name, seed)) for seed in range(1, seeds + 1)]
        for suffix in dict.fromkeys(["", *(suffix for run in runs for suffix in run)]):
            results[name + suffix] = [run[suffix] for run in runs if suffix in run]
    return results


def _folder(out, name, seed):
    return Path(out) / name.replace(" ", "_") / f"seed{seed}"


def _cell(values):
    if not values:
        return "-"
    digits = 3 if max(map(abs, values)) < 10 else 1
    mean = f"{statistics.mean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.{digits}f}"


def parse_args(argv):
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grid", required=True, help="YAML file, see pipelines/recipes/grids")
    parser.add_argument("--recipe", help="another recipe than the grid's own")
    parser.add_argument("--sets", type=names, help="comma-separated: measure on these sets instead of the grid's own")
    parser.add_argument("--data", required=True, help="folder that holds the records (hiu prepare)")
    parser.add_argument("--out", required=True, help="folder of the runs")
    parser.add_argument("--table", action="store_true", help="run nothing: print the tables of what is there")
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
    from hiu_tf.errors import ConfigError

    grid = load_grid(args.grid)
    grid = replace(grid, sets=args.sets) if args.sets else grid
    recipe = Path(args.recipe or Path(args.grid).parent / grid.recipe)
    unknown = set(args.arms.split(",")) - set(grid.arms) if args.arms else set()
    if unknown:
        raise ConfigError(f"{args.grid} has no arm {sorted(unknown)[0]!r}; known are {', '.join(grid.arms)}")
    arms = {name: grid.arms[name] for name in (args.arms.split(",") if args.arms else grid.arms)}
    for overrides in arms.values():
        load_recipe(recipe, [*overrides, *args.set])  # refuse a bad setting before hours of work
    # Seed by seed, so that an unfinished grid already compares all arms.
    jobs = [] if args.table else [(seed, name) for seed in range(1, args.seeds + 1) for name in arms]
    for seed, name in tqdm(jobs, unit="run", disable=args.table):
        overrides = [*arms[name], *args.set, f"train.seed={seed}"]
        run_arm(grid, recipe, name, overrides, args.data, _folder(args.out, name, seed))
    rows = _rows(grid, arms, args.out, args.seeds)
    # Published numbers belong to other data: they are printed once, with a note.
    tables = [paper_table(rows, dataset, grid.published if dataset == grid.sets[0] else {}) for dataset in grid.sets]
    tables += ["Every metric:", *(table(rows, dataset) for dataset in grid.sets)]
    Path(args.out).mkdir(parents=True, exist_ok=True)
    (Path(args.out) / "table.md").write_text("\n\n".join(tables) + "\n")
    print("\n\n".join(tables))
    return 0


if __name__ == "__main__":
    sys.exit(program(main))
