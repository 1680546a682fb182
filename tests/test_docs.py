"""The programs accept every command shown in the documentation, and every file and link named there exists."""

import importlib
import re
import shlex
from pathlib import Path

import pytest

from hiu_tf import cli

ROOT = Path(__file__).parents[1]
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
RECIPES = sorted((ROOT / "pipelines" / "recipes").rglob("*.yaml"))
_COMMAND = re.compile(r"^(?:\.venv/bin/)?(?:hiu|python tools/\w+\.py)\b.*")


def commands():
    """Yields each command in a code block, in backquotes, or in a recipe's head, with its page as id."""
    for page in PAGES + RECIPES:
        text = page.read_text()
        if page.suffix == ".yaml":
            lines = re.sub(r"\\\n#\s*", " ", text).splitlines()
            found = [
                line.removeprefix("# Command:").strip("# ") for line in lines if re.match(r"# +(Command: +)?hiu ", line)
            ]
        else:
            blocks = re.findall(r"^```\n(.*?)^```", text, re.S | re.M)
            found = [line for block in blocks for line in re.sub(r"\\\n\s*", " ", block).splitlines()]
            found += [
                " ".join(words.split()) for words in re.findall(r"(?<!`)`((?:hiu|python tools/)[^`]*)`(?!`)", text)
            ]
        for line in found:
            if _COMMAND.match(line.strip()):
                yield pytest.param(line.strip(), id=f"{page.name}: {line.strip()[:60]}")


def _words(line):
    words = shlex.split(line.replace("...", "").replace("|", " "), comments=True)
    if words[0] == "python":
        return Path(words[1]).stem, words[2:]
    return words[1] if len(words) > 1 else "", words[2:]


@pytest.mark.parametrize("line", list(commands()))
def test_a_command_of_the_documentation_is_taken(line, capsys):
    name, arguments = _words(line)
    faces = {path.stem: path.stem for path in (ROOT / "tools").glob("*.py")}
    module = (
        dict((n, m) for n, (m, _) in cli.PROGRAMS.items()).get(name) if line.split()[0] != "python" else faces[name]
    )
    parser = importlib.import_module(f"hiu_tf.programs.{module}").parse_args if module else cli.parse_args
    given = arguments if module else [name, *arguments]
    try:
        parser(given)
    except SystemExit as end:
        said = capsys.readouterr().err
        # A line in the text may show only a part of a command: its options must exist, others may be missing.
        assert not end.code or "required" in said or "is needed" in said or "expected" in said, said


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_links_to_is_there(page):
    for target in re.findall(r"\]\(([\w./-]+)(?:#[\w-]+)?\)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_names_are_there(page):
    named = re.findall(r"`((?:hiu_tf|pipelines|tests|tools|docs)/[\w/.-]+)`", page.read_text())
    missing = [path for path in named if "NAME" not in path and not (ROOT / path).exists()]
    assert not missing
