"""The public interface: the package's names, the command, the programs of a checkout, the content of a wheel."""

import importlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import hiu_tf
from hiu_tf import cli
from hiu_tf.errors import EXTRAS, UserError, install_words
from hiu_tf.programs import completion, serve
from tests.release.packaging import build_wheel

ROOT = Path(__file__).parents[1]


def test_the_packages_own_names():
    for name in hiu_tf.__all__:
        assert getattr(hiu_tf, name) is not None
    assert hiu_tf.load_hand().side == "right"
    with pytest.raises(AttributeError, match="has no attribute 'predictor'"):
        hiu_tf.predictor  # noqa: B018


def test_the_runtimes_names_need_no_tensorflow():
    code = (
        "import sys, hiu_tf; hiu_tf.Predictor, hiu_tf.predict, hiu_tf.load_hand(); "
        "sys.exit('tensorflow' in sys.modules or 'tf_keras' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_missing_folder_of_a_data_set_is_named_before_tensorflow_is_loaded():
    code = (
        "import sys; from hiu_tf import cli; "
        "ends = [cli.main(['prepare', name, '--source', 'nowhere', '--split', 'train', '--out', 'out']) "
        "for name in ('own_data', 'rhd', 'freihand', 'stb', 'no_hand')]; "
        "sys.exit(ends != [1] * 5 or 'tensorflow' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("nowhere") >= 5


@pytest.mark.parametrize("name", cli.PROGRAMS)
def test_every_command_teaches(name, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main([name, "--help"])
    assert end.value.code == 0
    said = capsys.readouterr().out
    assert said.startswith(f"usage: hiu {name} ")
    assert f"hiu {name}" in said.partition("options")[0].partition("\n")[2], "an example stands in the help"


def test_a_command_that_fails_says_so_in_one_line(capsys):
    assert cli.main(["evaluate", "--run", "nowhere", "--data", "nowhere"]) == 1
    assert capsys.readouterr().err.startswith("error: nowhere is no finished run")


@pytest.mark.parametrize(("name", "words"), [("Predict", "did you mean predict"), ("xyzzy", "there are predict, ")])
def test_an_unknown_command_is_helped(name, words, capsys):
    assert cli.main([name]) == 2
    assert words in capsys.readouterr().err


def test_a_command_without_its_packages_names_the_extra(monkeypatch, capsys):
    def missing(name):
        raise ModuleNotFoundError("No module named 'tensorflow'", name="tensorflow")

    monkeypatch.setattr(importlib, "import_module", missing)
    assert cli.main(["train", "--recipe", "x", "--data", "y", "--out", "z"]) == 1
    assert capsys.readouterr().err == f"error: hiu train needs tensorflow: {install_words('train')}\n"


def test_a_model_without_its_packages_names_the_extra(monkeypatch, capsys):
    def missing(*args):
        raise ModuleNotFoundError("No module named 'tensorflow'", name="tensorflow.saved_model")

    monkeypatch.setattr("hiu_tf.runtime.backend.load_network", missing)
    assert cli.main(["info"]) == 1
    assert capsys.readouterr().err == "error: hiu info needs tensorflow: pip install 'hiu-tf[train]'\n"


def test_a_name_without_its_packages_names_the_extra(monkeypatch):
    def missing(name):
        raise ModuleNotFoundError("No module named 'dacite'", name="dacite")

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ImportError, match=r"hiu_tf.load_recipe needs dacite: pip install 'hiu-tf\[train\]'"):
        hiu_tf.load_recipe  # noqa: B018


def test_every_extra_is_declared():
    """Each package that errors.EXTRAS names is installed by that extra of setup.py, directly or under another name."""
    text = (ROOT / "setup.py").read_text()
    for extra, packages in EXTRAS.items():
        assert f'"{extra}"' in text
        for package in packages:
            assert {"yaml": "pyyaml", "grpc": "grpcio"}.get(package, package).replace("_", "-") in text


def test_completion_knows_commands_and_options():
    """In bash itself: the start of a command and of an option are completed."""
    script = subprocess.run([sys.executable, "-m", "hiu_tf", "completion", "bash"], capture_output=True, text=True, check=True).stdout  # fmt: skip
    for words, wanted in (
        ("ev", "evaluate"),
        ("predict --max-h", "--max-hands"),
        ("train --rec", "--recipe"),
        ("detector ev", "evaluate"),
        ("detector --set", "--set"),
        ("cluster ku", "kubernetes"),
    ):
        typed = words.split()
        body = f'{script}\nCOMP_WORDS=(hiu {words}); COMP_CWORD={len(typed)}; _hiu; echo "${{COMPREPLY[@]}}"'
        done = subprocess.run(["bash", "-c", body], capture_output=True, text=True, check=True)
        assert done.stdout.split() == [wanted]
    commands = {"predict": completion.Words([], ["--out"]), "cluster": completion.Words(["slurm"], ["--nodes"])}
    assert "-n '__fish_seen_subcommand_from predict' -l out\n" in completion.fish(commands)
    assert "-n '__fish_seen_subcommand_from cluster' -l nodes -a 'slurm'\n" in completion.fish(commands)
    assert completion.zsh(commands).endswith(completion.bash(commands))


def test_completion_offers_what_a_command_takes_not_what_its_examples_name():
    """`hiu cluster --help` shows options of hiu train in its examples."""
    words = completion.words_of_commands()
    assert "--nodes" in words["cluster"].options and "--recipe" not in words["cluster"].options
    assert words["completion"].choices == ["bash", "fish", "zsh"]


def test_every_program_of_a_checkout_is_a_face():
    programs = {p.stem for p in (ROOT / "hiu_tf" / "programs").glob("*.py") if not p.stem.startswith("_")} - {"serve"}
    faces = {path.stem: path.read_text() for path in (ROOT / "tools").glob("*.py")}
    assert set(faces) == programs
    assert all(f'run("{name}")' in text and len(text.splitlines()) < 8 for name, text in faces.items())
    assert {module for module, _ in cli.PROGRAMS.values()} <= programs | {"serve"}


def test_a_face_runs():
    command = [sys.executable, ROOT / "tools" / "hand_mesh.py", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "--gesture" in done.stdout


def test_a_wheel_holds_our_names_alone(tmp_path):
    names = zipfile.ZipFile(build_wheel(tmp_path)).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"hiu_tf", "pipelines"}
    assert "pipelines/recipes/quickstart.yaml" in names
    assert "hiu_tf/savedmodels/hiu_mobile/hiu_mobile_float16.tflite" in names


def test_serving_takes_what_there_is(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="no numbered version"):
        serve.command(tmp_path, "hiu", 8500, 8501)
    (tmp_path / "2").mkdir()
    (tmp_path / "2" / "saved_model.pb").write_bytes(b"")
    for there in ("tensorflow_model_server", "docker"):
        monkeypatch.setattr(serve.shutil, "which", lambda name, there=there: name if name == there else None)
        words = serve.command(tmp_path, "hiu", 9500, 9501)
        assert words[0] == there
        assert "9501" in " ".join(words)
    monkeypatch.setattr(serve.shutil, "which", lambda name: None)
    with pytest.raises(UserError, match="neither tensorflow_model_server nor docker"):
        serve.command(tmp_path, "hiu", 8500, 8501)
