"""What did the change do, and how sure are we? `python -m multirun_analysis outputs/STUDY`."""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from paribus.command import report_errors

if TYPE_CHECKING:
    from rich.console import Console

    from multirun_analysis.compare.comparison import Comparison

T = TypeVar("T")
DESCRIPTION = """\
Turn the records of runs into a verdict, tables, figures and one page (report.html) that opens offline.

  python -m multirun_analysis outputs/STUDY                     a study
  python -m multirun_analysis outputs/A outputs/B               several together
  python -m multirun_analysis outputs/STUDY --by optim          only the comparison of optimizers
  python -m multirun_analysis outputs/STUDY --metric final_val_loss --target 0.35

Runs are compared where all else is equal, or where each level was tuned; seeds are paired. What was varied is found
by itself. Every run is in every table, those as well that diverged, failed or have not ended.
"""
MOST_RANKINGS = 6  # on the terminal


def arguments(typed: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m multirun_analysis",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("paths", nargs="+", type=Path, metavar="DIR", help="a study, a run, or a directory of them")
    parser.add_argument(
        "--metric", metavar="COLUMN", help="of runs.csv; default: best_val_acc, or best_val_loss for regression"
    )
    parser.add_argument(
        "--by", action="append", default=[], metavar="FACTOR", help="compare this factor alone (may be repeated)"
    )
    parser.add_argument(
        "--target", type=float, metavar="VALUE", help="of val/acc or val/loss, the time to which is told; has a default"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="where all of it goes; default: analysis in DIR, or here"
    )
    parser.add_argument("--pdf", action="store_true", help="figures as PDF too, for a paper")
    parser.add_argument("--latex", action="store_true", help="tables as LaTeX too, in tables.tex")
    return parser.parse_args(typed)


def main() -> None:
    options = arguments()
    from rich.console import Console  # after the options: --help and mistakes in them answer at once
    from rich.progress import track

    from multirun_analysis.compare.comparison import compare, tasks
    from multirun_analysis.records.load import load_runs
    from paribus.errors import UserError

    console = Console()

    def progress(what: str, items: Sequence[T]) -> Iterable[T]:
        shown = console.is_terminal and len(items) > 50
        return track(items, what, console=console, transient=True) if shown else items

    study = load_runs(options.paths, lambda found: progress("Reading runs", found))
    out = options.out or (options.paths[0] if len(options.paths) == 1 else Path()) / "analysis"
    known = tasks(study)
    for task in known:
        comparison = compare(study, task, options.metric, options.by)
        folder = out / task if len(known) > 1 else out
        if len(known) > 1:
            console.rule(task)
        try:
            write(comparison, folder, options, console)
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            remedy = " Write elsewhere: --out DIR." if error.filename else ""
            raise UserError(f"{where}{error.strerror or error}.{remedy}") from error


def write(comparison: "Comparison", folder: Path, options: argparse.Namespace, console: "Console") -> None:
    """Everything that is made of one comparison, on the terminal and in `folder`."""
    from rich.progress import track
    from rich.text import Text

    from multirun_analysis.compare.interactions import interactions
    from multirun_analysis.compare.targets import target_of
    from multirun_analysis.figures.gallery import drawing, gallery
    from multirun_analysis.report import documents, tables
    from multirun_analysis.report.output import Output
    from multirun_analysis.report.page import write_report
    from multirun_analysis.report.verdict import verdict

    target = target_of(comparison, options.target)
    crossed = interactions(comparison)
    drawings = gallery(comparison, crossed)
    names = ["report.html", "runs.csv", "comparison.csv", "tables.md", *(["tables.tex"] if options.latex else [])]
    kinds = [".png", ".pdf"] if options.pdf else [".png"]
    output = Output(folder)
    output.claim([*names, *(f"figures/{name}{kind}" for name in drawings for kind in kinds)])
    if output.foreign_figures:
        console.print(Text(output.foreign_figures), soft_wrap=True)
    told = verdict(comparison, crossed)
    for heading, sentences in told.parts:
        console.print(Text(heading, style="bold"))
        for sentence in sentences:
            console.print(Text(f"- {sentence}"), soft_wrap=not console.is_terminal)
        console.print()
    headline = [result for result in comparison.results if not result.contest.within and not result.exploratory]
    for result in headline[:MOST_RANKINGS]:
        where = f" with {result.contest.where}" if result.contest.where else ""
        console.print(
            tables.rich(tables.ranking(result, comparison), f"{result.contest.factor}{where}, {comparison.metric.name}")
        )
    if len(headline) > MOST_RANKINGS:
        console.print(f"{len(headline) - MOST_RANKINGS} more comparisons are in tables.md.\n")
    shown = tables.overview(comparison, target)
    title = "All settings; ±: half of the 95 % interval over seeds"
    title += f"; reached, after so many epochs (median): {target.in_words}" if target else ""
    if len(shown) > 20:
        title += f"; the first 20 of {len(shown)}"
    if len(shown):
        console.print(tables.rich(shown.head(20), title))
    _ = comparison.study.layers  # before the figures begin in processes of their own, which share it
    with drawing(drawings, folder / "figures", options.pdf) as figures:
        whole = documents.document(comparison, told, crossed, target)
        contents = {
            "runs.csv": tables.runs_csv(comparison).to_csv(),
            "comparison.csv": tables.comparison_csv(comparison).to_csv(index=False),
            "tables.md": documents.as_markdown(whole),
            **({"tables.tex": documents.as_latex(whole)} if options.latex else {}),
        }
        for name, text in contents.items():
            output.write_text(name, text)
        write_report(comparison, told, crossed, target, folder / "report.html")
        console.print(Text(f"Page:     {folder / 'report.html'}"), soft_wrap=True)
        console.print(Text(f"Tables:   {', '.join(str(folder / name) for name in contents)}"), soft_wrap=True)
        waited = track(figures, "Drawing", console=console, transient=True, disable=not console.is_terminal)
        outcomes = [draw() for draw in waited]
    drawn = [outcome.name for outcome in outcomes if outcome.drawn]
    for outcome in outcomes:
        if outcome.trouble:
            console.print(Text(f"Not drawn: {outcome.name}: {outcome.trouble}"), soft_wrap=True)
    output.finish([*names, *(f"figures/{name}{kind}" for name in drawn for kind in kinds)])
    console.print(Text(f"Figures:  {len(drawn)} in {folder / 'figures'}"), soft_wrap=True)


if __name__ == "__main__":
    with report_errors():
        main()
