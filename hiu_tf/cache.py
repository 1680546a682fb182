"""Where files are kept that are fetched or compiled once."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """HIU_TF_CACHE, or hiu_tf in the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "hiu_tf"
    return Path(os.environ.get("HIU_TF_CACHE", default))
