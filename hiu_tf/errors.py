"""Errors that a user can fix. Programs print them as one line."""

from __future__ import annotations

import sys

#: The last Python for which the TensorFlow of the extras has wheels.
_LAST_WITH_TENSORFLOW = (3, 11)


class UserError(ValueError):
    """An input of the program is wrong. The message says what is wrong, where, and what to do.

    Attributes:
      exit_code: exit code of a program that ends with this error.
    """

    exit_code = 1


class ConfigError(UserError):
    """A setting that is unknown, of the wrong type or out of range."""


def install_words(extra: str) -> str:
    """How to install what an extra with TensorFlow holds, on the Python that runs; see docs/versions.md."""
    command = f"pip install 'hiu-tf[{extra}]'"
    if sys.version_info[:2] <= _LAST_WITH_TENSORFLOW:
        return command
    return (
        f"TensorFlow 2.15 needs Python 3.9-3.11, and this is Python {sys.version_info[0]}.{sys.version_info[1]}: "
        f"make an environment with Python 3.11, and there {command}"
    )


class LostWorker(UserError):
    """Another worker of a training was lost. Running the same command again may succeed."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h


class Interrupted(KeyboardInterrupt):
    """A signal ended a program that has saved its work. The message says how to go on."""

    def __init__(self, number: int, message: str):
        super().__init__(message)
        self.exit_code = 128 + number


#: Extra of hiu-tf -> packages that it installs and the light installation lacks.
EXTRAS = {
    "train": (
        "tensorflow", "tf_keras", "tensorflow_addons", "tensorflow_graphics", "tensorflow_datasets", "scipy", "yaml",
        "dacite", "pycocotools", "matplotlib",
    ),
    "serving": ("tensorflow_serving", "grpc"),
}  # fmt: skip


def missing_extra(error: ImportError) -> str | None:
    """What to install if an import failed because an extra is not installed; None for all other failures."""
    package = (error.name or "").partition(".")[0]
    extra = next((name for name, packages in EXTRAS.items() if package in packages), None)
    return extra and f"needs {package}: {install_words(extra)}"
