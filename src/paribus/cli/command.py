"""Run the `paribus` command, whose subcommands are the entry points of a checkout."""

import os
import sys
from pkgutil import resolve_name

import paribus
from paribus.cli.errors import report_errors
from paribus.errors import unknown_name

COMMANDS = {
    "train": "paribus.cli.train:main",
    "evaluate": "paribus.cli.evaluate:main",
    "compare": "multirun_analysis.__main__:run",
    "data": "paribus.cli.data:main",
}
HELP = """\
usage: paribus [--help] [--version] COMMAND ...

  paribus train       train one run, or with --multirun the runs of a study
  paribus evaluate    evaluate finished runs on their test sets
  paribus compare     say what a change did, and how sure one can be
  paribus data        look at a data set before anything is trained

`paribus COMMAND --help` says more. For tab completion: eval "$(paribus train -sc install=bash)"\
"""


def main() -> None:
    """Run the subcommand that sys.argv names. Exits with 1 after an error."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("--help", "-h"):
        print(HELP)
    elif name == "--version":
        print(f"paribus {paribus.__version__}")
    elif name in ("-sc", "--shell-completion"):
        complete_line()
    else:
        with report_errors():
            if name not in COMMANDS:
                raise unknown_name(name, "the commands of paribus", COMMANDS)
        del sys.argv[1]
        sys.path.insert(0, os.getcwd())  # where classes of the user's own are, as with python -m
        resolve_name(COMMANDS[name])()


def complete_line() -> None:
    """Print the completions of the line in COMP_LINE, for which Hydra's script calls `paribus` without a subcommand."""
    program, _, line = os.environ["COMP_LINE"].partition(" ")
    name, blank, arguments = line.lstrip().partition(" ")
    if not blank:
        print(*COMMANDS)
    elif name == "train":
        os.environ["COMP_LINE"] = f"{program} {arguments}"
        resolve_name(COMMANDS[name])()
