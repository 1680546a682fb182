"""Prints a script for your shell that completes `hiu`'s commands, their arguments, and file names.

hiu completion bash >> ~/.bashrc
hiu completion zsh >> ~/.zshrc
hiu completion fish > ~/.config/fish/completions/hiu.fish
"""

from __future__ import annotations

import argparse
import importlib
import sys
from typing import NamedTuple
from unittest import mock

from hiu_tf.errors import missing_extra
from hiu_tf.programs._program import program

_BASH = """_hiu() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}" choices="" options=""
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "{commands}" -- "$word"))
    return
  fi
  case "${{COMP_WORDS[1]}}" in
{cases}
  esac
  case "$word" in
    -*) COMPREPLY=($(compgen -W "$options" -- "$word")) ;;
    *) COMPREPLY=($(compgen -W "$choices" -- "$word") $(compgen -f -- "$word")) ;;
  esac
}}
complete -o filenames -F _hiu hiu
"""


class Words(NamedTuple):
    """What can follow a command: subcommands and other fixed words, and long options."""

    choices: list[str]
    options: list[str]


def bash(commands: dict[str, Words]) -> str:
    """The script for bash, from the words of each command."""
    cases = "\n".join(
        f'    {name}) choices="{" ".join(words.choices)}" options="{" ".join(words.options)}" ;;'
        for name, words in commands.items()
    )
    return _BASH.format(commands=" ".join(commands), cases=cases)


def zsh(commands: dict[str, Words]) -> str:
    """The script for zsh, which can use that of bash."""
    return f"autoload -U +X bashcompinit && bashcompinit\n{bash(commands)}"


def fish(commands: dict[str, Words]) -> str:
    """The script for fish."""
    lines = [f"complete -c hiu -n __fish_use_subcommand -f -a '{' '.join(commands)}'"]
    for name, words in commands.items():
        given = " ".join(f"-l {word[2:]}" for word in words.options)
        choices = f" -a '{' '.join(words.choices)}'" if words.choices else ""
        lines.append(f"complete -c hiu -n '__fish_seen_subcommand_from {name}' {given}{choices}")
    return "\n".join(lines) + "\n"


SHELLS = {"bash": bash, "zsh": zsh, "fish": fish}


def words_of_commands() -> dict[str, Words]:
    """What can follow each command, from its parser; nothing for a command whose extra is not installed."""
    from hiu_tf import cli

    shows = {name: lambda name=name: cli.parse_args([name, "--help"]) for name in cli.COMMANDS}
    for name, (module, _) in cli.PROGRAMS.items():
        shows[name] = lambda module=module: importlib.import_module(f"hiu_tf.programs.{module}").main(["--help"])
    return {name: _words(_parser(show)) for name, show in shows.items()}


def _parser(show):
    """The parser whose help `show` prints."""
    asked = []
    try:
        with mock.patch.object(argparse.ArgumentParser, "print_help", lambda parser, file=None: asked.append(parser)):
            show()
    except SystemExit:
        pass
    except ImportError as error:
        if missing_extra(error) is None:
            raise
    return asked[0] if asked else argparse.ArgumentParser(add_help=False)


def _words(parser):
    """The words of a parser and of its subcommands. (argparse has no public list of them.)"""
    choices, options = set(), set()
    for action in parser._actions:
        options.update(word for word in action.option_strings if word.startswith("--"))
        if action.option_strings or not action.choices:
            continue
        choices.update(action.choices)
        if isinstance(action, argparse._SubParsersAction):
            options.update(*(_words(command).options for command in action.choices.values()))
    return Words(sorted(choices), sorted(options))


def main(argv=None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(
        prog="hiu completion", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shell", choices=SHELLS)
    print(SHELLS[parser.parse_args(argv).shell](words_of_commands()), end="")
    return 0


if __name__ == "__main__":
    sys.exit(program(main))
