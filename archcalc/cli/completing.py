"""The command `archcalc completion`: what shtab makes of the parsers, and which names stand where."""

import argparse
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType

from archcalc.cli.common import write
from archcalc.cli.main import parser
from archcalc.dialects.yaml import zoo_names
from archcalc.errors import CannotRun
from archcalc.hardware.device import devices
from archcalc.layers import KINDS
from archcalc.questions.quantities import QUANTITIES

NAMES: dict[tuple[str, str], Callable[[], Iterable[str]]] = {  # what an argument of one command is a name of
    ("layers", "kind"): lambda: KINDS,
    ("zoo", "name"): zoo_names,
    ("hardware", "name"): devices,
}
ALIKE: dict[str, Callable[[], Iterable[str]]] = {"device": devices, "of": lambda: QUANTITIES}  # in every command
MODELS = {"bash": "_archcalc_models", "zsh": "_archcalc_models", "tcsh": "f"}
PREAMBLE = {
    "bash": """
_archcalc_models() {
  compgen -f -- "$1"
  compgen -W "%(zoo)s" -- "$1"
}
""",
    "zsh": """
_archcalc_models() {
  local -a zoo=(%(zoo)s)
  _files
  compadd -a zoo
}
""",
    "tcsh": "",
}
COLONS = """
_archcalc() {  # bash cuts words at colons: they are put together again, as zoo:digits is one
  local -a words=()
  local word before=""
  for word in "${COMP_WORDS[@]:0:COMP_CWORD+1}"; do
    if [[ ${#words[@]} -gt 1 && ( $word == : || $before == : ) ]]; then
      words[${#words[@]}-1]+=$word
    else
      words+=("$word")
    fi
    before=$word
  done
  local -a COMP_WORDS=("${words[@]}")
  local COMP_CWORD=$((${#words[@]} - 1))
  local last=${words[COMP_CWORD]}
  _shtab_archcalc "$@"
  if [[ $last == *:* && $COMP_WORDBREAKS == *:* ]]; then
    COMPREPLY=("${COMPREPLY[@]#"${last%%:*}:"}")
  fi
  for word in "${COMPREPLY[@]}"; do
    [[ -e $word ]] || return 0
  done
  compopt -o filenames 2>/dev/null || :  # folders go on, blanks are quoted
}

complete -o bashdefault -F _archcalc archcalc"""


def completion(options: argparse.Namespace) -> int:
    """Print the script for a shell."""
    write(script(options.shell).rstrip("\n"), None)
    return 0


def script(shell: str) -> str:
    """What shtab makes of the parsers, with the names of the zoo beside files."""
    shtab, top = library(), parser()
    for command, action in arguments(top):
        tell(command, action, shtab)
    zoo = " ".join(f"zoo:{name}" for name in zoo_names())
    made: str = shtab.complete(top, shell, preamble={shell: PREAMBLE[shell] % {"zoo": zoo}})
    return made + COLONS if shell == "bash" else made


def library() -> ModuleType:
    """Shtab, which few have."""
    try:
        import shtab
    except ModuleNotFoundError as error:
        way_out = "pip install 'archcalc[completion]', or '.[completion]' in a copy of the repository"
        raise CannotRun("completion", "needs shtab", str(error), way_out=way_out) from None
    found: ModuleType = shtab
    return found


def arguments(top: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.Action]]:
    """The arguments of every command."""
    for subparsers in top._actions:
        if isinstance(subparsers, argparse._SubParsersAction):
            yield from ((name, action) for name, command in subparsers.choices.items() for action in command._actions)


def tell(command: str, action: argparse.Action, shtab: ModuleType) -> None:
    """Which words an argument takes that has no choices of its own."""
    if action.metavar in ("MODEL", "B"):
        action.complete = MODELS  # type: ignore[attr-defined]
    elif action.metavar == "FILE":
        action.complete = shtab.FILE  # type: ignore[attr-defined]
    elif action.choices is None and (command, action.dest) in NAMES:
        action.choices = list(NAMES[command, action.dest]())
    elif action.choices is None and action.dest in ALIKE:
        action.choices = list(ALIKE[action.dest]())
