"""The journal of a run: a record for every epoch, as JSON lines and CSV, and a note about each start."""

from __future__ import annotations

import csv
import io
import json
import platform
import subprocess
import sys
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path

from hiu_tf.atomic import written_whole
from hiu_tf.errors import UserError

JSON_LOG, CSV_LOG, STARTS = "log.jsonl", "log.csv", "starts.json"
_PACKAGES = (
    "tensorflow", "tf_keras", "tensorflow-addons", "tensorflow-graphics", "numpy", "opencv-python", "tflite-runtime",
)  # fmt: skip


class Journal:
    """The records of a run's epochs. On resume, later records are dropped.

    Args:
      folder: of the run.
      step: step from which the run resumes.
    """

    def __init__(self, folder: Path, step: int):
        self.folder = folder
        self.records = [record for record in read_journal(folder) if record["step"] <= step]

    def add(self, record: dict) -> None:
        """Adds a record and rewrites both files atomically."""
        self.records.append(record)
        lines = [json.dumps(record) for record in self.records]
        with written_whole(self.folder / JSON_LOG) as scratch:
            scratch.write_text("\n".join(lines) + "\n")
        columns = list(dict.fromkeys(name for record in self.records for name in record))
        table = io.StringIO()
        writer = csv.DictWriter(table, columns)
        writer.writeheader()
        writer.writerows(self.records)
        with written_whole(self.folder / CSV_LOG) as scratch:
            scratch.write_text(table.getvalue())


def read_journal(folder: Path) -> list[dict]:
    """Reads the records of a run so far; [] if there are none.

    Raises:
      UserError: a line is damaged.
    """
    path, records = folder / JSON_LOG, []
    for number, line in enumerate(path.read_text().splitlines() if path.exists() else [], start=1):
        try:
            records.append(json.loads(line))
        except ValueError as error:
            raise UserError(f"{path}, line {number} is no record of an epoch: {error}") from error
    return records


def note_start(folder: Path, step: int) -> None:
    """Adds an entry to the run's list of starts: time, step, command, packages, git commit, machine."""
    path = folder / STARTS
    starts = json.loads(path.read_text()) if path.exists() else []
    starts.append({"time": datetime.now(timezone.utc).isoformat(timespec="seconds"), "step": step, **_environment()})
    with written_whole(path) as scratch:
        scratch.write_text(json.dumps(starts, indent=1))


def _environment():
    return {
        "command": sys.argv,
        "python": platform.python_version(),
        "machine": platform.platform(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "git_commit": _git("rev-parse", "HEAD"),
        "git_changed_files": len((_git("status", "--porcelain") or "").splitlines()),
    }


def _version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _git(*arguments):
    """Git state of this package's own checkout; None for an installed package, which may lie in another repository."""
    root = Path(__file__).resolve().parents[2]
    command = ["git", "-C", str(root)]
    try:
        top, result = (
            subprocess.run([*command, *words], capture_output=True, text=True, check=False)
            for words in (["rev-parse", "--show-toplevel"], arguments)
        )
    except OSError:
        return None
    is_ours = top.returncode == 0 and Path(top.stdout.strip()).resolve() == root
    return result.stdout.strip() if is_ours and result.returncode == 0 else None
