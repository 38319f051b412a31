"""Run the `paribus` command. Its subcommands do the same as the scripts of a checkout."""

import os
import sys
from pkgutil import resolve_name

import paribus
from paribus.cli.errors import report_errors
from paribus.errors import UserError, unknown_name

COMMANDS = {
    "train": "paribus.cli.train:main",
    "evaluate": "paribus.cli.evaluate:main",
    "compare": "multirun_analysis.__main__:run",
    "watch": "multirun_analysis.watch.command:main",
    "data": "paribus.cli.data:main",
    **{name: f"paribus.cli.housekeeping:{name}" for name in ("ls", "diff", "note", "tag", "rm", "export", "open")},
}
OTHER_WORDS = {  # of other programs, for a command
    **dict.fromkeys(("run", "fit", "sweep", "multirun", "resume"), "train"),
    **dict.fromkeys(("test", "eval", "predict", "score"), "evaluate"),
    **dict.fromkeys(("analyse", "analyze", "analysis", "report", "verdict"), "compare"),
    **dict.fromkeys(("list", "show", "status"), "ls"),
    **dict.fromkeys(("delete", "remove", "trash"), "rm"),
    **dict.fromkeys(("import", "unpack"), "open"),
    **dict.fromkeys(("follow", "monitor", "dashboard", "ui"), "watch"),
}
HELP = """\
usage: paribus [--help] [--version] COMMAND ...

  paribus train       train one run, or with --multirun the runs of a study
  paribus evaluate    evaluate finished runs on their test sets
  paribus compare     compare runs: what a change did, and how certain that is
  paribus watch       follow a study in a browser while it is trained
  paribus data        inspect a data set before training

  paribus ls          list studies, or the runs of one
  paribus diff        show what differs between two runs
  paribus note, tag   write a note or tags to a run or study
  paribus rm          move runs or studies to the trash
  paribus export      pack a study into one file; `paribus open` unpacks it

For details: `paribus COMMAND --help`. For tab completion: eval "$(paribus train -sc install=bash)"\
"""


def main() -> None:
    """Run the subcommand that sys.argv names. Exit with 1 after an error."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("--help", "-h"):
        print(HELP)
    elif name == "--version":
        print(f"paribus {paribus.__version__}")
    elif name in ("-sc", "--shell-completion"):
        complete_line()
    else:
        with report_errors():
            if name in OTHER_WORDS:
                raise UserError(f"There is no command {name!r}. Did you mean paribus {OTHER_WORDS[name]}?")
            if name not in COMMANDS:
                raise unknown_name(name, "the commands of paribus", COMMANDS)
        del sys.argv[1]
        sys.path.insert(0, os.getcwd())  # finds the user's own classes, as with python -m
        resolve_name(COMMANDS[name])()


def complete_line() -> None:
    """Print completions of the line in COMP_LINE, for which Hydra's shell script calls `paribus` alone."""
    program, _, line = os.environ["COMP_LINE"].partition(" ")
    name, blank, arguments = line.lstrip().partition(" ")
    if not blank:
        print(*COMMANDS)
    elif name == "train":
        os.environ["COMP_LINE"] = f"{program} {arguments}"
        resolve_name(COMMANDS[name])()
