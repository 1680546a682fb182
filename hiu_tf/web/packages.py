"""The page's npm packages: fetched once into the user's cache, at the versions and checksums of package-lock.json."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

from hiu_tf.atomic import written_whole
from hiu_tf.cache import cache_folder
from hiu_tf.errors import UserError

LOCK = "package-lock.json"
#: Files of each package that the page loads, and the package's licence.
FILES = {
    "@litertjs/core": ("package.json", "dist/index.js", "wasm/*.js", "wasm/*.wasm"),
    "@litertjs/wasm-utils": ("package.json", "dist/index.js"),
    "three": ("package.json", "LICENSE", "build/three.core.min.js", "build/three.module.min.js"),
}
_SOURCES = Path(__file__).parent


def fetched_packages() -> Path:
    """The folder node_modules with the packages of the lock file. Fetches them if they are not there yet.

    Raises:
      UserError: npm is missing or fails.
    """
    digest = hashlib.sha256((_SOURCES / LOCK).read_bytes()).hexdigest()[:16]
    folder = cache_folder() / f"page-{digest}"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            with written_whole(folder) as scratch:
                _fetch(scratch)
        except OSError:
            if not folder.is_dir():  # otherwise another process was faster
                raise
    return folder / "node_modules"


def copy_packages(target: Path) -> dict[str, str]:
    """Copies `FILES` into a folder. Returns {name: version}."""
    source, versions = fetched_packages(), {}
    for name, patterns in FILES.items():
        for path in [path for pattern in patterns for path in sorted((source / name).glob(pattern))]:
            place = target / path.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
        versions[name] = _version(source / name)
    return versions


def _fetch(folder):
    npm = shutil.which("npm")
    if npm is None:
        raise UserError(
            "the page's packages come by npm, which is missing: install Node.js (nodejs.org, or apt install npm)"
        )
    folder.mkdir()
    for name in ("package.json", LOCK):
        shutil.copyfile(_SOURCES / name, folder / name)
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise UserError(f"npm could not fetch the page's packages: {'; '.join(lines[:3]) or 'it does not say why'}")


def _version(package):
    return json.loads((package / "package.json").read_text())["version"]
