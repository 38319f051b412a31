"""The three reports as studies: make them, and write STUDIES.md."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from paribus.cli.errors import report_errors
from paribus.errors import RunFailed, UserError, unknown_name
from studies.catalogue import BY_NAME, STUDIES

DESCRIPTION = """\
Make the studies of STUDIES.md that are not made yet, and write it from their records.

  python -m studies                       all that a machine without a GPU can make, in hours; may be interrupted
  python -m studies concrete_depths ...   these alone, then the page from all records that there are
  python -m studies --write               only the page
  python -m studies --list                what there is
"""


def arguments(typed: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m studies", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("studies", nargs="*", metavar="STUDY", help="default: all")
    parser.add_argument("--write", action="store_true", help="make nothing, write the page")
    parser.add_argument("--list", action="store_true", help="say what there is, make and write nothing")
    parser.add_argument(
        "--cifar",
        action="append",
        default=[],
        metavar="OVERRIDE",
        help="add to the commands that need CIFAR-10: data.verify=false for a copy with other checksums",
    )
    options = parser.parse_args(typed)
    for name in options.studies:
        if name not in BY_NAME:
            raise unknown_name(name, "the studies", BY_NAME)
    return options


def main(typed: Sequence[str] | None = None) -> None:
    options = arguments(typed)
    from paribus.terminal import make_console

    console = make_console()
    if options.list:
        for study in STUDIES:
            console.print(" ".join(["python", *study.train]), soft_wrap=True)
        return
    from studies.making import make
    from studies.page import Material
    from studies.writing import PAGE, write

    if not Path("train.py").exists():
        raise UserError("There is no train.py here. Start this in the directory of the checkout.")
    chosen = [BY_NAME[name] for name in options.studies] or STUDIES
    failed = [] if options.write else make(chosen, options.cifar, console)
    missing = write(Material())
    console.print(f"Written: {PAGE}" + (f" (not made yet: {', '.join(missing)})" if missing else ""), soft_wrap=True)
    if failed:
        raise RunFailed(f"{len(failed)} commands failed: " + "; ".join(failed))


if __name__ == "__main__":
    with report_errors():
        main()
