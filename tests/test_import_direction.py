"""Imports only go in one direction (docs/architecture.md), and the runtime never imports TensorFlow."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
#: Each part may import itself and the parts named here.
BASE = {"addresses", "conventions", "errors", "atomic", "cache", "html", "pictures", "quiet", "tables"}
ALLOWED = {
    "conventions": {"errors"},
    "errors": set(),
    "atomic": {"errors"},
    "addresses": set(),
    "cache": set(),
    "pictures": {"errors"},
    "quiet": set(),
    "tables": set(),
    "html": {"atomic", "pictures"},
    "compiled": {"atomic", "cache"},
    "config": BASE,
    "geometry": BASE,
    "codecs": BASE | {"geometry"},
    "hand": BASE | {"geometry"},
    "fit": BASE | {"geometry", "hand"},
    "render": BASE | {"compiled", "geometry"},
    "metrics": BASE | {"geometry"},
    "tasks": BASE | {"config", "geometry", "codecs", "hand", "metrics", "runtime"},
    "models": BASE | {"config", "geometry", "codecs", "hand", "render", "tasks"},
    "losses": BASE | {"codecs", "tasks"},
    "training": BASE | {"config", "geometry", "hand", "render", "tasks", "models", "losses", "runtime"},
    "evaluation": BASE | {"geometry", "hand", "render", "metrics", "tasks", "models", "runtime"},
    "exporting": BASE
    | {"config", "codecs", "geometry", "hand", "fit", "metrics", "tasks", "models", "runtime", "evaluation"},
    "runtime": BASE | {"codecs", "geometry", "hand", "fit", "serving"},
    "serving": BASE | {"geometry"},
    "web": BASE | {"hand", "fit", "runtime"},
    "commands": BASE | {"runtime", "config", "models", "training", "web"},
    "cli": BASE | {"commands", "programs"},
    "__main__": {"cli"},
}
PIPELINES_MAY_IMPORT = BASE | {"compiled", "config", "geometry", "codecs", "hand", "fit", "render", "tasks"}


def imported_modules(path):
    """Names of imported modules, for every form of import: `from hiu_tf import losses` gives hiu_tf.losses."""
    place = path.relative_to(ROOT).parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            above = place[: -node.level] if node.level else ()
            module = ".".join([*above, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_every_way_to_import_is_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    path = tmp_path / "hiu_tf" / "losses" / "total.py"
    path.parent.mkdir(parents=True)
    path.write_text("import hiu_tf.a.b\nfrom hiu_tf import c\nfrom . import d\nfrom .. import e\nfrom ..f import g\n")
    found = set(imported_modules(path))
    assert {"hiu_tf.a.b", "hiu_tf.c", "hiu_tf.losses.d", "hiu_tf.e", "hiu_tf.f"} <= found


@pytest.mark.parametrize("path", sorted((ROOT / "hiu_tf").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_library_imports_one_way(path):
    part = path.relative_to(ROOT / "hiu_tf").parts[0].removesuffix(".py")
    for module in imported_modules(path):
        head, *rest = module.split(".")
        if part == "programs":  # joins everything
            continue
        assert head not in ("pipelines", "tools"), f"{path} imports {module}"
        if head == "hiu_tf" and rest and part != "__init__" and rest[0] not in ("__version__",):
            assert rest[0] in ALLOWED[part] | {part}, f"{path} imports {module}"


@pytest.mark.parametrize("path", sorted((ROOT / "pipelines").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_pipelines_import_only_the_foundations(path):
    for module in imported_modules(path):
        head, *rest = module.split(".")
        assert head != "tools", f"{path} imports {module}"
        if head == "hiu_tf" and rest:
            assert rest[0] in PIPELINES_MAY_IMPORT, f"{path} imports {module}"


def test_runtime_imports_no_tensorflow():
    code = "import sys, hiu_tf, hiu_tf.cli, hiu_tf.runtime.files; hiu_tf.Predictor, hiu_tf.Tracker; sys.exit('tensorflow' in sys.modules or 'tf_keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
