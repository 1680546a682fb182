"""Prints a script for your shell that completes `hiu`'s commands, their arguments, and file names.

hiu completion bash >> ~/.bashrc
hiu completion zsh >> ~/.zshrc
hiu completion fish > ~/.config/fish/completions/hiu.fish
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import re
import sys

from hiu_tf.errors import missing_extra
from hiu_tf.programs._program import program

_BASH = """_hiu() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}" options=""
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "{commands}" -- "$word"))
    return
  fi
  case "${{COMP_WORDS[1]}}" in
{cases}
  esac
  case "$word" in
    -*) COMPREPLY=($(compgen -W "$options" -- "$word")) ;;
    *) COMPREPLY=($(compgen -f -- "$word")) ;;
  esac
}}
complete -o filenames -F _hiu hiu
"""


def bash(options: dict[str, list[str]]) -> str:
    """The script for bash, from the options of each command."""
    cases = "\n".join(f'    {name}) options="{" ".join(words)}" ;;' for name, words in options.items())
    return _BASH.format(commands=" ".join(options), cases=cases)


def zsh(options: dict[str, list[str]]) -> str:
    """The script for zsh, which can use that of bash."""
    return f"autoload -U +X bashcompinit && bashcompinit\n{bash(options)}"


def fish(options: dict[str, list[str]]) -> str:
    """The script for fish."""
    lines = [f"complete -c hiu -n __fish_use_subcommand -f -a '{' '.join(options)}'"]
    for name, words in options.items():
        given = " ".join(f"-l {word[2:]}" for word in words)
        lines.append(f"complete -c hiu -n '__fish_seen_subcommand_from {name}' {given}")
    return "\n".join(lines) + "\n"


SHELLS = {"bash": bash, "zsh": zsh, "fish": fish}


def options_of_commands() -> dict[str, list[str]]:
    """{command: its long options}, from the help texts; none for a command whose extra is not installed."""
    from hiu_tf import cli

    texts = {name: _help(lambda name=name: cli.parse_args([name, "--help"])) for name in cli.COMMANDS}
    for name, (module, _) in cli.PROGRAMS.items():
        texts[name] = _help(lambda module=module: importlib.import_module(f"hiu_tf.programs.{module}").main(["--help"]))
    return {name: sorted(set(re.findall(r"(?<![\w-])--[a-zA-Z][\w-]*", text))) for name, text in texts.items()}


def _help(show):
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            show()
    except SystemExit:
        pass
    except ImportError as error:
        if missing_extra(error) is None:
            raise
    return said.getvalue()


def main(argv=None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(
        prog="hiu completion", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shell", choices=SHELLS)
    print(SHELLS[parser.parse_args(argv).shell](options_of_commands()), end="")
    return 0


if __name__ == "__main__":
    sys.exit(program(main))
