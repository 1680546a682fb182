"""Imports run one way (docs/architecture.md); the runtime never touches TensorFlow."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
#: Each part may import itself and the parts named here.
BASE = {"conventions", "errors", "atomic", "page", "pictures"}
ALLOWED = {
    "conventions": {"errors"},
    "errors": set(),
    "atomic": {"errors"},
    "pictures": {"errors"},
    "page": {"atomic"},
    "config": BASE,
    "geometry": BASE,
    "codecs": BASE | {"geometry"},
    "hand": BASE | {"geometry"},
    "fit": BASE | {"geometry", "hand"},
    "render": BASE | {"geometry"},
    "models": BASE | {"config", "geometry", "codecs", "hand"},
    "losses": BASE | {"config", "codecs", "geometry"},
    "metrics": BASE,
    "training": BASE | {"config", "geometry", "hand", "render", "models", "losses", "metrics", "runtime"},
    "evaluation": BASE | {"geometry", "hand", "render", "models", "metrics", "runtime"},
    "export": BASE | {"codecs", "geometry", "hand", "models", "runtime", "evaluation"},
    "runtime": BASE | {"codecs", "geometry", "hand", "fit", "serving"},
    "serving": BASE | {"geometry"},
    "web": BASE | {"hand", "fit", "runtime"},
    "cli": BASE | {"runtime", "config", "models", "web"},
}
PIPELINES_MAY_IMPORT = BASE | {"config", "geometry", "codecs", "hand", "fit", "render"}


def imported_modules(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("path", sorted((ROOT / "hiu_tf").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_library_imports_one_way(path):
    part = path.relative_to(ROOT / "hiu_tf").parts[0].removesuffix(".py")
    for module in imported_modules(path):
        head, *rest = module.split(".")
        assert head not in ("pipelines", "tools"), f"{path} imports {module}"
        if head == "hiu_tf" and rest and part != "__init__":
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
