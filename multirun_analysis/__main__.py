"""What did the change do, and how sure are we? `python -m multirun_analysis outputs/STUDY`."""

import argparse
import re
import sys
import traceback
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar

from paribus.cli.errors import report_errors
from paribus.errors import UserError
from paribus.installation import name_commands
from paribus.paths import parse_path

if TYPE_CHECKING:
    from rich.console import Console

    from multirun_analysis.compare.comparison import Comparison
    from multirun_analysis.records.load import Study

T = TypeVar("T")
DESCRIPTION = """\
Say what the change did, and how sure one can be; write tables, figures, verdict.json and one page that opens offline.

  python -m multirun_analysis outputs/STUDY                     a study
  python -m multirun_analysis outputs/A outputs/B               several together
  python -m multirun_analysis outputs/STUDY --details           all tables on the terminal
  python -m multirun_analysis outputs/STUDY --by optim          only the comparison of optimizers
  python -m multirun_analysis outputs/STUDY --margin 0.2pt      differences up to 0.2 percentage points count as none
  python -m multirun_analysis outputs/NEW --against outputs/OLD the same runs after and before a change of the code
  python -m multirun_analysis outputs/STUDY --claim "optim: adam >= sgd - 0.3pt"    exit code 0 holds, 1 refuted,
                                                                2 undecided, 3 error

Runs are compared where all else is equal, or where each level was tuned; seeds are paired. Every run is in every table,
those as well that diverged, failed or have not ended. How the verdict is reached: docs/verdict.md.
"""
CLAIM_ERROR = 3  # exit code


class Parser(argparse.ArgumentParser):
    """A parser whose exit code for mistakes is not that of an undecided claim."""

    def error(self, message: str) -> NoReturn:
        unknown = message.rpartition("unrecognized arguments: ")[2].split(" ")[0].partition("=")[0]
        close = get_close_matches(unknown, re.findall(r"--[a-z]+", self.format_usage()), n=1)
        hint = f". Did you mean {close[0]}?" if close and message.startswith("unrecognized") else ""
        self.print_usage(sys.stderr)
        self.exit(error_code(2), f"{self.prog}: error: {message}{hint}\n")


def error_code(usual: int) -> int:
    """Choose the exit code of an error: beside a claim, a mistyped one as well, one that none of its answers has."""
    return CLAIM_ERROR if any(text.startswith("--cl") for text in sys.argv) else usual


def arguments(typed: Sequence[str] | None = None) -> argparse.Namespace:
    parser = Parser(
        prog=name_commands("python -m multirun_analysis"),
        description=name_commands(DESCRIPTION),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "paths",
        nargs="+",
        type=partial(parse_path, option="DIR"),
        metavar="DIR",
        help="a study, a run, or a directory of them",
    )
    parser.add_argument(
        "--metric",
        metavar="NAME",
        help="a column of metrics.csv (val/f1) or of runs.csv; default: the runs' own, else val/acc or val/loss",
    )
    parser.add_argument(
        "--direction", choices=("higher", "lower"), help="which end of --metric is better; overrides its name"
    )
    parser.add_argument(
        "--by", action="append", default=[], metavar="FACTOR", help="compare this factor alone (may be repeated)"
    )
    parser.add_argument("--margin", metavar="VALUE", help="differences up to it count as none: 0.2pt, or a loss's 0.5")
    parser.add_argument("--claim", metavar="TEXT", help='hold a claim against the runs: "optim: adam >= sgd - 0.3pt"')
    parser.add_argument(
        "--against",
        type=partial(parse_path, option="--against"),
        metavar="DIR",
        help="the same study before a change of the code: which runs changed, by how much, and is it noise?",
    )
    parser.add_argument("--json", action="store_true", help="print verdict.json, and write nothing")
    parser.add_argument("--details", action="store_true", help="print all tables too")
    parser.add_argument(
        "--target",
        type=float,
        metavar="VALUE",
        help="a value of the metric, for the details: when do runs reach it? default: 0.95 of the best accuracy; "
        "of losses: docs/compare.md",
    )
    parser.add_argument(
        "--out",
        type=partial(parse_path, option="--out"),
        metavar="DIR",
        help="where all of it goes; default: analysis in DIR, or here",
    )
    parser.add_argument("--pdf", action="store_true", help="figures as PDF too, for a paper")
    parser.add_argument("--latex", action="store_true", help="tables as LaTeX too, in tables.tex")
    return parser.parse_args(typed)


def main() -> None:
    options = arguments()
    if options.direction and not options.metric:
        raise UserError("--direction says which end of a metric is better. Name the metric too: --metric NAME.")
    from rich.progress import track  # after the options: --help and mistakes in them answer at once

    from multirun_analysis.compare.comparison import compare, tasks
    from multirun_analysis.records.load import load_runs
    from multirun_analysis.report.output import choose_folder, reporting_write_errors
    from multirun_analysis.report.revision_command import compare_with_before
    from paribus.terminal import make_console

    console = make_console()

    def progress(what: str, items: Sequence[T]) -> Iterable[T]:
        shown = console.is_terminal and len(items) > 50
        return track(items, what, console=console, transient=True) if shown else items

    read = [*options.paths, options.against] if options.against else options.paths
    study = load_runs(read, lambda found: progress("Reading runs", found))
    known = tasks(study)
    if options.against is not None:
        with reporting_write_errors():
            compare_with_before(study, known, options, console)
        return
    if options.claim is not None or options.json:
        answer(study, known, options)
        return
    out = choose_folder(options.out, options.paths)
    for task in known:
        comparison = compare(study, task, options.metric, options.by, options.margin, options.direction)
        folder = out / task if len(known) > 1 else out
        if len(known) > 1:
            console.rule(task)
        with reporting_write_errors():
            write(comparison, folder, options, console)


def answer(study: "Study", known: Sequence[str], options: argparse.Namespace) -> None:
    """Print what programs ask for: the verdict as JSON, or what came of a claim, whose answer is the exit code."""
    from multirun_analysis.compare.claims import check_claim
    from multirun_analysis.compare.comparison import compare
    from multirun_analysis.compare.targets import target_of
    from multirun_analysis.compare.times import compare_times
    from multirun_analysis.report.verdict import verdict
    from multirun_analysis.report.verdict_json import as_json, as_object

    if len(known) > 1:
        raise UserError(f"These runs have several tasks: {', '.join(known)}. Give the runs of one of them.")
    comparison = compare(study, known[0], options.metric, options.by, options.margin, options.direction)
    claim = None if options.claim is None else check_claim(comparison, options.claim)
    if options.json:
        target = target_of(comparison, options.target)
        compared = None if target is None else compare_times(comparison, target)
        print(as_json(as_object(comparison, verdict(comparison), claim, target, compared)))  # noqa: T201
    elif claim is not None:
        print(claim.sentence)  # noqa: T201
    if claim is not None:
        sys.exit(claim.answer.exit_code)


def write(comparison: "Comparison", folder: Path, options: argparse.Namespace, console: "Console") -> None:
    """Write everything that comes of one comparison into `folder`, and print the first screen."""
    from rich.progress import track
    from rich.text import Text

    from multirun_analysis.compare.interactions import interactions
    from multirun_analysis.compare.targets import target_of
    from multirun_analysis.compare.times import compare_times
    from multirun_analysis.figures.gallery import drawing, gallery
    from multirun_analysis.report import documents, result_tables, tables, terminal
    from multirun_analysis.report.output import Output
    from multirun_analysis.report.page import compose_parts, write_page
    from multirun_analysis.report.page_sections import first_figures
    from multirun_analysis.report.verdict import WIDTH, verdict
    from multirun_analysis.report.verdict_json import as_json, as_object

    target = target_of(comparison, options.target)
    crossed = interactions(comparison)
    drawings = gallery(comparison, crossed)
    names = ["report.html", "verdict.json", "runs.csv", "comparison.csv", "tables.md"]
    names += ["tables.tex"] if options.latex else []
    kinds = [".png", ".pdf"] if options.pdf else [".png"]
    output = Output(folder)
    output.claim([*names, *(f"figures/{name}{kind}" for name in drawings for kind in kinds)])
    found = verdict(comparison)
    console.print(Text(found.text(min(WIDTH, console.width))), soft_wrap=True)
    console.print()
    compared_times = None if target is None else compare_times(comparison, target)
    behind = documents.details(comparison, crossed, target, compared_times)
    if options.details:
        for title, part in behind:
            if isinstance(part, list):
                console.print(Text(title, style="bold"))
                for sentence in part:
                    console.print(Text(f"- {sentence}"), soft_wrap=not console.is_terminal)
                console.print()
            else:
                console.print(terminal.rich(part, title, console.width))
    _ = comparison.study.layers  # before the figures begin in processes of their own, which share it
    with drawing(drawings, folder / "figures", options.pdf) as figures:
        whole = documents.document(comparison, found, behind)
        contents = {
            "verdict.json": as_json(as_object(comparison, found, None, target, compared_times)) + "\n",
            "runs.csv": tables.runs_csv(comparison).to_csv(),
            "comparison.csv": tables.defuse_formulas(result_tables.comparison_csv(comparison)).to_csv(index=False),
            "tables.md": documents.as_markdown(whole),
            **({"tables.tex": documents.as_latex(whole)} if options.latex else {}),
        }
        for name, text in contents.items():
            output.write_text(name, text)
        page = compose_parts(comparison, found, behind, folder)
        waited = track(figures, "Drawing", console=console, transient=True, disable=not console.is_terminal)
        outcomes = [draw() for draw in waited]
    drawn = [outcome.name for outcome in outcomes if outcome.drawn]
    write_page(page, folder / "report.html", drawn)
    console.print(Text(f"Page: {folder / 'report.html'}"), soft_wrap=True)
    output.finish([*names, *(f"figures/{name}{kind}" for name in drawn for kind in kinds)])
    if output.foreign_figures:
        console.print(Text(output.foreign_figures), soft_wrap=True)
    for outcome in outcomes:
        if outcome.trouble:
            console.print(Text(f"Not drawn: {outcome.name}: {outcome.trouble}"), soft_wrap=True)
    if drawn:
        console.print(Text(f"Figures to see first: {', '.join(first_figures(drawn))}"), soft_wrap=True)
    console.print(
        Text(f"Also: tables.md, verdict.json, runs.csv, comparison.csv, {len(drawn)} figures; --details"),
        soft_wrap=True,
    )


def run() -> None:
    """Run the command; beside a claim even a mistake of this program ends it with a code that is no answer."""
    try:
        with report_errors(error_code(1)):
            main()
    except Exception:
        if error_code(1) == 1:
            raise
        traceback.print_exc()
        sys.exit(CLAIM_ERROR)


if __name__ == "__main__":
    run()
