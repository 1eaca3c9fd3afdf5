"""The options of the command that teaches a shell to complete the others."""

from archcalc.cli.parsing import Adder, later

SHELLS = ("bash", "zsh", "tcsh")


def completion(add: Adder) -> None:
    """Options of `archcalc completion`."""
    what = "a script that lets a shell complete commands, options, choices, files and names"
    completion = add("completion", later("completing", "completion"), what, (
        "archcalc completion bash > ~/.local/share/bash-completion/completions/archcalc",
        'archcalc completion zsh > "${fpath[1]}/_archcalc"',
    ))  # fmt: skip
    completion.add_argument("shell", choices=SHELLS, metavar="SHELL", help=f"one of {', '.join(SHELLS)}")


LISTED = (completion,)
