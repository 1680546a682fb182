"""The programs: their help, one-line errors, and the whole way from data to model."""

import importlib
import json
import subprocess
import sys

import pytest

from hiu_tf import cli
from hiu_tf.config.load import load_recipe
from hiu_tf.errors import UserError
from hiu_tf.programs._program import program
from tests.places import RECIPES, quickstart

PROGRAMS = ("prepare", "train", "evaluate", "export", "demo", "build_hand")


def run(name, *arguments):
    return subprocess.run(
        [sys.executable, "-m", f"hiu_tf.programs.{name}", *arguments], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("name", PROGRAMS)
def test_help_shows_an_example(name, capsys):
    module = importlib.import_module(f"hiu_tf.programs.{name}")
    with pytest.raises(SystemExit) as stop:
        (module.parse_args if hasattr(module, "parse_args") else module.main)(["--help"])
    assert stop.value.code == 0
    assert name in capsys.readouterr().out


TRAIN = ["--recipe", "{recipe}", "--data", "{empty}", "--out", "{out}"]
MISTAKES = {
    "unknown data set": (
        "prepare",
        ["imagenet", "--source", "x", "--split", "train", "--out", "{out}"],
        "unknown data set 'imagenet'",
    ),
    "empty data folder": (
        "prepare",
        ["own_data", "--source", "{empty}", "--split", "train", "--out", "{out}"],
        "cannot read",
    ),
    "no recipe": (
        "train",
        ["--recipe", "none.yaml", "--data", "{empty}", "--out", "{out}"],
        "cannot read the recipe none.yaml",
    ),
    "wrong key": (
        "train",
        [*TRAIN, "--set", "train.bach=8"],
        "bach",
    ),
    "wrong type": (
        "train",
        [*TRAIN, "--set", "train.steps=many"],
        "steps",
    ),
    "out of range": (
        "train",
        [*TRAIN, "--set", "train.steps=0"],
        "train.steps must be a number in [1, 1e+09], got 0",
    ),
    "not a number": (
        "train",
        [*TRAIN, "--set", "train.learning_rate=.nan"],
        "train.learning_rate must be a number in",
    ),
    "bad augmentation": (
        "train",
        [*TRAIN, "--set", "augment.crop_scale=[0, 0]"],
        "augment.crop_scale must be two numbers",
    ),
    "no yaml": (
        "train",
        [*TRAIN, "--set", "train.batch_size=["],
        "no valid YAML",
    ),
    "unknown preset": (
        "train",
        [*TRAIN, "--set", "model=huge"],
        "unknown model preset 'huge'",
    ),
    "no records": (
        "train",
        TRAIN,
        "does not exist: write its records",
    ),
    "no run": ("evaluate", ["--run", "{empty}", "--data", "{empty}"], "is no finished run"),
    "nothing to export": ("export", ["--run", "{empty}", "--out", "{out}"], "is no finished run"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_end_in_one_line_and_leave_nothing(case, tmp_path, capsys):
    name, arguments, message = MISTAKES[case]
    (tmp_path / "empty").mkdir()
    places = {"out": tmp_path / "out", "empty": tmp_path / "empty", "recipe": RECIPES / "quickstart.yaml"}
    module = importlib.import_module(f"hiu_tf.programs.{name}")
    code = program(lambda: module.main([argument.format(**places) for argument in arguments]))
    assert code == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("error: ")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("setting", "words"),
    {
        "train.validate: [nowhere]": "nowhere does not exist",
        "train.freeze: [nose]": "no part 'nose'",
        "train.start_from: nowhere": "nowhere is no finished run",
    }.items(),
)
def test_a_later_stage_is_checked_before_the_first(setting, words, rendered_records, tmp_path):
    later = f"stages={{first: {{}}, second: {{{setting}}}}}"
    data = ["--data", str(rendered_records), "--set", "model=tiny", "--set", later]
    arguments = ["--recipe", str(RECIPES / "quickstart.yaml"), *data]
    with pytest.raises(UserError, match=words):
        importlib.import_module("hiu_tf.programs.train").main([*arguments, "--out", str(tmp_path / "run")])
    assert not (tmp_path / "run").exists()


def test_a_stage_starts_from_the_one_before_or_from_what_it_names(monkeypatch, tmp_path):
    program, started = importlib.import_module("hiu_tf.programs.train"), []
    monkeypatch.setattr(
        program, "run_stage", lambda stage, root, own: started.append((own.name, stage.train.start_from))
    )
    monkeypatch.setattr(program, "_with_steps", lambda stage, root: stage)
    monkeypatch.setattr("hiu_tf.training.folder.adopt", lambda *_: None)
    stages = "stages={a: {}, b: {train.learning_rate: 1.0e-4}, c: {train.start_from: elsewhere}, d: {}}"
    recipe = load_recipe(RECIPES / "quickstart.yaml", [stages, "train.start_from=given"])
    program.run_stages(recipe, "data", tmp_path)
    run = str(tmp_path)
    assert started == [("1_a", "given"), ("2_b", f"{run}/1_a"), ("3_c", "elsewhere"), ("4_d", f"{run}/3_c")]


def test_int8_needs_as_many_pictures_as_a_batch(capsys):
    with pytest.raises(SystemExit):
        importlib.import_module("hiu_tf.programs.export").main(["--run", "r", "--out", "o", "--batch", "129"])
    assert "--batch can be no larger" in capsys.readouterr().err


@pytest.mark.slow
def test_what_differs_too_much_is_not_published(rendered_records, tmp_path, monkeypatch):
    """Neither the SavedModel nor any other file is published; existing files stay."""
    from hiu_tf.config.presets import model_config
    from hiu_tf.exporting.run import export
    from hiu_tf.exporting.targets import TARGETS
    from hiu_tf.hand.load import load_hand
    from hiu_tf.models.hiu import build_hiu
    from hiu_tf.programs.export import example_source
    from hiu_tf.training.folder import Run

    run = Run(build_hiu(model_config("tiny")), "tiny", model_config("tiny"), load_hand("procedural"))
    out = tmp_path / "model"
    (out / "3").mkdir(parents=True)
    monkeypatch.setitem(TARGETS, "SavedModel", TARGETS["SavedModel"]._replace(limits=(-1.0, -1.0)))
    with example_source(64, str(rendered_records), ["synthetic"], 2) as examples:
        assert sum(len(batch["image"]) for batch in examples("val", None)) == 2
        with pytest.raises(UserError, match="nothing is published.*SavedModel: 2D joints move by"):
            export(run, out, ("float32",), examples)
        assert [path.name for path in out.iterdir()] == ["3"]
        monkeypatch.undo()
        monkeypatch.setitem(TARGETS, "float16", TARGETS["float16"]._replace(limits=(-1.0, -1.0)))
        with pytest.raises(UserError, match="complete but for what differs too much from the network: float16: 2D"):
            export(run, out, ("float32", "float16"), examples)
    assert {path.name for path in out.iterdir()} == {"3", "4", "tiny_float32.tflite", "model.json", "card.md"}


def test_unwritable_output_is_one_line(tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    module = importlib.import_module("hiu_tf.programs.prepare")
    arguments = ["synthetic", "--source", "1", "--split", "val", "--out", str(tmp_path / "file" / "x")]
    assert program(lambda: module.main(arguments)) == 1
    assert capsys.readouterr().err.startswith("error: ")


#: Command lines that end before any work: what is in the way of a result, and options that would have no effect.
USELESS = {
    "compare a b --out {folder}": "takes the name of a file, and {folder} is a folder",
    "gestures val.json --field digit --names 1=point --json {file}/x.json": "cannot make the folder of",
    "evaluate --run a --data b --csv {file}/x.csv": "cannot make the folder of",
    "mesh hand.glb --number 2": "--number needs --prediction",
    "mesh hand.glb --gesture fist --prediction p.json": "not allowed with argument",
    "info --presets --preset hiu_edge": "not allowed with argument",
    "benchmark hiu_mobile --crop -5": "takes a whole number, 0 or more",
}


@pytest.mark.parametrize("line", USELESS)
def test_what_has_no_effect_or_no_place_is_refused(line, tmp_path, capsys):
    places = {"folder": tmp_path, "file": tmp_path / "file"}
    places["file"].write_text("in the way")
    with pytest.raises(SystemExit) as stop:
        cli.main(line.format(**places).split())
    assert stop.value.code == 2
    assert USELESS[line].format(**places) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "words"), [("--set train.steps=4", "--set needs"), ("--devices 2", "--devices needs")]
)
def test_settings_of_nothing_are_refused(line, words, capsys):
    assert cli.main(["info", *line.split()]) == 1
    assert words in capsys.readouterr().err


@pytest.mark.long
def test_from_data_to_model(tmp_path, rendered_records):
    """train -> evaluate -> export as a user runs them, each with the exit code 0."""
    small = ["model=tiny", "train.steps=2", "train.batch_size=2", "loss.ssl_warmup_steps=0"]
    trained = run("train", *quickstart(rendered_records, tmp_path / "run", *small))
    assert trained.returncode == 0, trained.stderr[-2000:]
    measured = run(
        "evaluate", "--run", str(tmp_path / "run"), "--data", str(rendered_records), "--json", str(tmp_path / "m.json")
    )
    assert measured.returncode == 0, measured.stderr[-2000:]
    metrics = json.loads((tmp_path / "m.json").read_text())["results"]["synthetic"]
    assert set(metrics) == {"trained", "random weights", "mean of training"}
    exported = run(
        "export",
        "--run",
        str(tmp_path / "run"),
        "--out",
        str(tmp_path / "model"),
        "--metrics",
        str(tmp_path / "m.json"),
        "--no-parity",
        "--precisions",
        "float32,float16",
    )
    assert exported.returncode == 0, exported.stderr[-2000:]
    assert {p.name for p in (tmp_path / "model").iterdir()} == {
        "1",
        "tiny_float32.tflite",
        "tiny_float16.tflite",
        "model.json",
        "card.md",
    }
    assert "joints_2d_auc" in (tmp_path / "model" / "card.md").read_text()


@pytest.mark.slow
def test_the_report_shows_curves_and_worst_samples_of_the_validated_sets(rendered_records, tmp_path):
    from hiu_tf.programs.train import main

    settings = [
        "model=tiny",
        "train.steps=2",
        "train.steps_per_epoch=2",
        "train.batch_size=2",
        "train.validate=[synthetic]",
    ]
    more = [word for setting in settings for word in ("--set", setting)]
    recipe = str(RECIPES / "quickstart.yaml")
    assert main(["--recipe", recipe, "--data", str(rendered_records), "--out", str(tmp_path / "run"), *more]) == 0
    report = (tmp_path / "run" / "report.html").read_text()
    assert "synthetic: 6 samples" in report and "joints_2d_auc" in report
    assert (
        report.index("Predictions of training pictures") < report.index("synthetic: 6 samples") < report.index("Recipe")
    )
    assert report.count("data:image/png") >= 2  # curves, PCK curves
    assert report.count("data:image/jpeg") >= 3  # predictions, best and worst samples
