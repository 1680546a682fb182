"""Writes requirements/NAME.lock: every package of the runtime and of each extra, with version and hashes.

    make locks                            newest versions that setup.py admits
    python -m tests.release.locks dev     one file alone (needs uv on the PATH)

One file serves every Python and platform, by markers. Install with
`pip install --require-hashes -r requirements/runtime.lock`, then the wheel with `--no-deps`.
"""

import subprocess
import sys

from hiu_tf.atomic import written_whole
from tests.release.packaging import ROOT, setup_arguments

LOCKS = ROOT / "requirements"
#: The project holds no address of a package index: each machine has its own.
_OPTIONS = ("--no-emit-index-url", "--no-emit-find-links", "--no-annotate", "--custom-compile-command", "make locks")


def main() -> int:
    """Writes the files; returns the exit code."""
    arguments = setup_arguments()
    oldest = arguments["python_requires"].removeprefix(">=").partition(",")[0]
    LOCKS.mkdir(exist_ok=True)
    for name in sys.argv[1:] or ("runtime", *arguments["extras_require"]):
        extra = [] if name == "runtime" else ["--extra", name]
        with written_whole(LOCKS / f"{name}.lock") as scratch:
            command = [
                "uv",
                "pip",
                "compile",
                "--quiet",
                "--universal",
                "--python-version",
                oldest,
                "--generate-hashes",
            ]
            subprocess.run(
                [*command, *_OPTIONS, *extra, "setup.py", "--output-file", str(scratch)], check=True, cwd=ROOT
            )
        print(LOCKS / f"{name}.lock")
    return 0


if __name__ == "__main__":
    sys.exit(main())
