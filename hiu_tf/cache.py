"""Where files are kept that are fetched or compiled once."""

import os
import tempfile
from pathlib import Path


def cache_folder() -> Path:
    """HIU_TF_CACHE, or hiu_tf in the user's cache folder; of a user without a home, in the folder for temporary files."""
    if own := os.environ.get("HIU_TF_CACHE"):
        return Path(own)
    home = os.path.expanduser("~")  # stays "~" for a number without an account, as containers may have
    usual = tempfile.gettempdir() if home == "~" else os.path.join(home, ".cache")
    return Path(os.environ.get("XDG_CACHE_HOME") or usual) / "hiu_tf"
