"""SavedModel in TF Serving's layout NAME/VERSION/, written atomically."""

from pathlib import Path

import tensorflow as tf

from hiu_tf.atomic import written_whole
from hiu_tf.errors import UserError
from hiu_tf.exporting.card import write_card
from hiu_tf.exporting.module import HIUModule
from hiu_tf.runtime.card import SAVED_GRAPH, checksum


def export_saved_model(module: HIUModule, folder: Path, card: dict) -> Path:
    """Writes the next version of a model and returns its folder.

    Raises:
      UserError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        version = next_version(folder)
        with written_whole(version) as scratch:
            tf.saved_model.save(module, str(scratch), signatures=module.signatures())
            parts = [scratch / SAVED_GRAPH, *sorted((scratch / "variables").iterdir())]
            checksums = {path.relative_to(scratch).as_posix(): checksum(path.read_bytes()) for path in parts}
            write_card(scratch / "assets.extra", card | {"files": checksums})
        return version
    except (OSError, tf.errors.OpError) as error:  # a full disk raises either
        raise UserError(f"cannot write the model to {folder}: {error}") from error


def next_version(folder: Path) -> Path:
    """Folder of the next version of a model: one more than the highest number in its folder."""
    return folder / str(1 + max([int(path.name) for path in folder.iterdir() if path.name.isdecimal()], default=0))
