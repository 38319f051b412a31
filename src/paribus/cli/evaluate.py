"""Evaluate finished runs on the test set: `python evaluate.py run=DIR`, `paribus evaluate run=DIR`."""

import argparse

from paribus.cli.errors import report_errors
from paribus.errors import UserError
from paribus.installation import name_commands
from paribus.paths import parse_path
from paribus.process import importing_torch
from paribus.run.selection import select_runs
from paribus.terminal import make_console

DESCRIPTION = """\
Evaluate finished runs on their test sets, write the metrics into their records (summary.json, "test") and print them.

  python evaluate.py run=outputs/DATE/TIME        one run
  python evaluate.py run=outputs/STUDY            every finished run of a study
  python evaluate.py run=DIR run=DIR ...          several

Select runs by their validation metrics first: the test set is for the selected run.
"""


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=name_commands(DESCRIPTION),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage=name_commands("python evaluate.py [options] run=DIR [run=DIR ...]"),
    )
    parser.add_argument(
        "runs", nargs="+", metavar="run=DIR", help="a run, or a directory of runs; run= may be left out"
    )
    parser.add_argument(
        "--checkpoint",
        choices=("best", "last"),
        help="default: best, the epoch with the best validation; last where there was no validation",
    )
    parser.add_argument("--data-root", metavar="DIR", help="where the data are now, if not where training found them")
    parser.add_argument("--trust", action="store_true", help="also load runs whose configuration names other code")
    parser.add_argument("--device", choices=("cpu", "cuda", "mps"), default="cpu", help="default: cpu")
    return parser.parse_args()


def main() -> None:
    """Evaluate the runs that sys.argv names. Exit with 1 after an error."""
    with report_errors():
        evaluate_runs()


def evaluate_runs() -> None:
    """Evaluate the runs that sys.argv names, and print a table. Raises UserError at the end for those that failed."""
    options = parse_arguments()
    selected, left_out = select_runs(parse_path(name.removeprefix("run="), "run=") for name in options.runs)
    with importing_torch():  # slow, so only after the options: --help and wrong options are answered at once
        import torch

        from paribus.config.targets import UntrustedError
        from paribus.run.evaluate import evaluate, show
        from paribus.run.load import load_run

    device = torch.device(options.device)
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"--device {options.device} cannot be used: {str(error).splitlines()[0]}") from None
    evaluated, errors = [], []
    untrusted: dict[str, list[str]] = {}  # messages by the class that is not trusted: one is enough for all runs
    for directory in selected:
        try:
            run = load_run(directory, options.checkpoint, options.data_root, options.trust)
            evaluated.append((run, evaluate(run, device)))
        except UntrustedError as error:
            untrusted.setdefault(error.what, []).append(str(error))
        except UserError as error:
            errors.append(str(error))
    if left_out is not None:
        print(left_out)
    console = make_console()
    show(console if console.is_terminal else make_console(width=200), evaluated)  # a file has no narrow window
    for first, *others in untrusted.values():
        errors.append(f"{first} {len(others)} more of these runs name it." if others else first)
    if errors:
        raise UserError("\n".join(errors))
