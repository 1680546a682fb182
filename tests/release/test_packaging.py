"""setup.py's requirements on every Python and platform, its metadata, and what is said where a package is missing."""

import re
import sys

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import hiu_tf
from hiu_tf import cli, errors
from hiu_tf.errors import UserError
from hiu_tf.runtime import backend
from hiu_tf.serving.client import ServingError, connect
from tests.release.packaging import ROOT, setup_arguments

PYTHONS = ("3.9", "3.10", "3.11", "3.12", "3.13")
LINUX, LINUX_ARM = ("linux", "x86_64"), ("linux", "aarch64")
MAC, INTEL_MAC, WINDOWS = ("darwin", "arm64"), ("darwin", "x86_64"), ("win32", "AMD64")
#: Where each interpreter has wheels (`pip download --only-binary=:all:`), for one of the versions that setup.py admits.
WHEELS = {
    "tflite-runtime": {(python, place) for python in PYTHONS[:3] for place in (LINUX, LINUX_ARM)},
    "ai-edge-litert": {(python, place) for python in PYTHONS for place in (LINUX, LINUX_ARM, MAC)}
    | {(python, WINDOWS) for python in PYTHONS[1:]}
    | {(python, INTEL_MAC) for python in PYTHONS[:3]},
}


def wanted(extra=None):
    arguments = setup_arguments()
    return [
        Requirement(text) for text in (arguments["extras_require"][extra] if extra else arguments["install_requires"])
    ]


def chosen(requirements, python, place):
    environment = {"python_version": python, "sys_platform": place[0], "platform_machine": place[1], "extra": ""}
    return {r.name: r for r in requirements if r.marker is None or r.marker.evaluate(environment)}


@pytest.mark.parametrize("place", (LINUX, LINUX_ARM, MAC, INTEL_MAC, WINDOWS), ids="-".join)
@pytest.mark.parametrize("python", PYTHONS)
def test_one_interpreter_wherever_there_is_a_wheel(python, place):
    found = set(chosen(wanted(), python, place)) & set(WHEELS)
    possible = {name for name, places in WHEELS.items() if (python, place) in places}
    assert found <= possible, "pip would refuse the whole package"
    assert len(found) == bool(possible)


@pytest.mark.parametrize("python", PYTHONS)
def test_numpy_fits_the_interpreter(python):
    found = chosen(wanted(), python, LINUX)
    assert found["numpy"].specifier.contains("2.2.0") == ("tflite-runtime" not in found)


def test_every_python_is_taken_and_no_other():
    taken = SpecifierSet(setup_arguments()["python_requires"])
    assert [f"3.{n}" for n in range(6, 18) if f"3.{n}.1" in taken] == list(PYTHONS)


@pytest.mark.parametrize("extra", ("train", "serving", "dev"))
@pytest.mark.parametrize("python", PYTHONS)
def test_tensorflow_is_left_out_where_it_has_no_wheel(extra, python):
    found = chosen(wanted(extra), python, LINUX)
    built_for = {"tensorflow", "tensorflow-addons", "tensorflow-serving-api"} & set(found)
    assert bool(built_for) == (python in PYTHONS[:3])


def missing(name):
    def load(module, *arguments):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    return load


def test_training_on_a_later_python_is_refused_in_a_sentence(monkeypatch, capsys):
    monkeypatch.setattr(cli.importlib, "import_module", missing("tensorflow"))
    monkeypatch.setattr(errors, "_LAST_WITH_TENSORFLOW", (3, 8))
    assert cli.main(["train", "--recipe", "x", "--data", "y", "--out", "z"]) == 1
    assert capsys.readouterr().err == (
        "error: hiu train needs tensorflow: TensorFlow 2.15 needs Python 3.9-3.11, "
        f"and this is Python {sys.version_info[0]}.{sys.version_info[1]}: "
        "make an environment with Python 3.11, and there pip install 'hiu-tf[train]'\n"
    )


@pytest.mark.parametrize(
    ("package", "arguments"),
    [("dacite", ["info", "--preset", "tiny"]), ("tensorflow", ["info", "--model", "savedmodels/hiu_mobile"])],
)
def test_other_commands_without_tensorflow_say_so_in_one_line(package, arguments, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    monkeypatch.delitem(sys.modules, "hiu_tf.config.load", raising=False)
    monkeypatch.setitem(sys.modules, package, None)  # an import of it fails
    assert cli.main(arguments) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert "pip install 'hiu-tf[train]'" in said


def test_grpc_without_its_packages(monkeypatch):
    monkeypatch.setitem(sys.modules, "grpc", None)
    with pytest.raises(ServingError, match=r"needs grpc, REST does not: pip install 'hiu-tf\[serving\]'"):
        connect("grpc://localhost:1")


def test_no_interpreter(monkeypatch):
    monkeypatch.setattr(backend, "INTERPRETERS", ("no_such_interpreter",))
    with pytest.raises(UserError, match="no TFLite interpreter is installed: pip install ai-edge-litert"):
        backend.load_file(ROOT / "savedmodels/hiu_mobile/hiu_mobile_float16.tflite")


def test_tflite_runtime_is_not_asked_beside_numpy_2(monkeypatch):
    """It can be imported there, and then fails when it opens a file."""
    monkeypatch.setattr(backend, "INTERPRETERS", ("tflite_runtime.interpreter",))
    monkeypatch.setattr(backend.np, "__version__", "2.2.6")
    with pytest.raises(UserError, match="tflite-runtime only works beside NumPy 1"):
        backend.load_file(ROOT / "savedmodels/hiu_mobile/hiu_mobile_float16.tflite")


def test_memory_is_not_told_where_python_cannot(monkeypatch):
    from hiu_tf.runtime.latency import _peak_mb

    assert _peak_mb() > 10
    monkeypatch.setitem(sys.modules, "resource", None)  # as on Windows
    assert _peak_mb() is None


def test_metadata():
    arguments = setup_arguments()
    assert arguments["version"] == hiu_tf.__version__
    assert arguments["author"]
    said = [line.rpartition(" ")[2] for line in arguments["classifiers"] if re.search(r":: 3\.\d+$", line)]
    assert said == list(PYTHONS)
