"""The licences of all parts of the page, as one text."""

from __future__ import annotations

import json
from pathlib import Path

from hiu_tf.errors import UserError
from hiu_tf.web.packages import FILES

_APACHE = Path(__file__).with_name("Apache-2.0.txt")


def licences(vendor: Path) -> str:
    """The text of all licences, for the packages in the folder `vendor`.

    Raises:
      UserError: a package has a licence whose text we do not have.
    """
    parts = ["hiu-tf (page, networks, hand model), Apache-2.0"]
    texts = {"Apache-2.0": _APACHE.read_text()}
    for name in FILES:
        package = json.loads((vendor / name / "package.json").read_text())
        licence, own = package["license"], vendor / name / "LICENSE"
        parts.append(f"{name} {package['version']}, {licence}")
        if own.is_file():
            texts[f"{name}: {licence}"] = own.read_text()
        elif licence not in texts:
            raise UserError(f"{name} is under {licence}, and its package holds no LICENSE: the page cannot carry it")
    return (
        "\n".join(parts) + "".join(f"\n\n\n--- {title} ---\n\n{text.strip()}" for title, text in texts.items()) + "\n"
    )
