"""Run the housekeeping commands: `paribus ls`, `diff`, `note`, `tag`, `rm`, `export` and `open`."""

import argparse
import json
import sys
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from paribus import record
from paribus.cli.errors import report_errors
from paribus.errors import UserError
from paribus.housekeeping import archive, shelf, trackers, trash
from paribus.housekeeping.difference import compare_runs
from paribus.paths import parse_path, suggest_path
from paribus.terminal import make_console

MOST_LINES = 200  # of the difference of two patches
REMARKS = "tags, note"  # a column that is left out where it is empty
UNITS = ("B", "kB", "MB", "GB", "TB")


def command(parse: Callable[[argparse.ArgumentParser], None]) -> Callable[..., Callable[[], None]]:
    """Make a command of a function of its options; `parse` adds these to the parser. Exit with 1 after an error."""

    def decorate(carry_out: Callable[[argparse.Namespace], int | None]) -> Callable[[], None]:
        @wraps(carry_out)
        def main() -> None:
            parser = argparse.ArgumentParser(prog=f"paribus {carry_out.__name__}", description=carry_out.__doc__)
            parse(parser)
            options = parser.parse_args()
            with report_errors():
                code = carry_out(options)
            sys.exit(code)

        return main

    return decorate


def to_path(text: str) -> Path:
    return parse_path(text, "The path")


def require_record(path: Path) -> Path:
    """Return `path` if it is a run or a directory of runs. Raises UserError otherwise."""
    if not path.is_dir():
        raise UserError(f"{path} is no directory. Name a run or a study.{suggest_path(path)}")
    if not shelf.find_runs(path):
        raise UserError(f"{path} holds no run.")
    return path


def _ls(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "path", nargs="?", default="outputs", help="a directory of studies, or a study (default: outputs)"
    )
    parser.add_argument("--runs", action="store_true", help="list runs, also for a directory of studies")
    parser.add_argument("--tag", help="list only what has this tag")
    parser.add_argument("--json", action="store_true", help="print JSON")


@command(_ls)
def ls(options: argparse.Namespace) -> None:
    """List studies, or the runs of a study, with status, size, tags and notes."""
    path = to_path(options.path)
    if not path.is_dir():
        raise UserError(f"{path} is no directory. Name a directory with studies: paribus ls DIR.{suggest_path(path)}")
    studies = shelf.list_studies(path)
    as_runs = options.runs or [study.path for study in studies] in ([str(path)], [str(path.parent)])
    listed: list[Any] = shelf.list_runs(path) if as_runs else list(studies)
    listed = [one for one in listed if options.tag is None or options.tag in one.tags]
    if options.json:
        print(shelf.to_json(listed))
    elif not listed:
        print(f"No {'run' if as_runs else 'study'} in {path}{f' has the tag {options.tag}' if options.tag else ''}.")
    else:
        _print_runs(path, listed) if as_runs else _print_studies(listed)


def _print_studies(studies: list[shelf.Study]) -> None:
    rows = [
        [study.path, ", ".join(f"{n} {status}" for status, n in study.runs.items()), *_describe(study)]
        for study in studies
    ]
    _print_table(["study", "runs", "changed", "size", REMARKS], rows)


def _print_runs(path: Path, runs: list[shelf.Run]) -> None:
    metrics = {run.metric for run in runs if run.best is not None and run.metric is not None}
    differ = len(metrics) > 1
    rows = [
        [
            run.status,
            "" if run.best is None else f"{run.best:.4g}",
            *([run.metric or ""] if differ else []),
            "" if run.epochs is None else str(run.epochs),
            *_describe(run),
            str(Path(run.path).relative_to(path)) if run.path != str(path) else run.path,
        ]
        for run in runs
    ]
    best = ["best", "metric"] if differ else [" ".join(["best", *metrics])]
    titles = ["status", *best, "epochs", "changed", "size", REMARKS, "run"]  # the longest last: it gets the rest
    _print_table(titles, rows)


def _describe(one: shelf.Study | shelf.Run) -> list[str]:
    remarks = " ".join([*(f"#{tag}" for tag in one.tags), one.note]).strip()
    return [time.strftime("%Y-%m-%d %H:%M", time.localtime(one.changed)), format_size(one.size), remarks]


def _print_table(titles: list[str], rows: list[list[str]]) -> None:
    from rich.table import Table
    from rich.text import Text

    console = make_console() if sys.stdout.isatty() else make_console(width=200)
    table = Table(box=None, pad_edge=False)
    kept = [i for i, title in enumerate(titles) if title != REMARKS or any(row[i] for row in rows)]
    titles, rows = [titles[i] for i in kept], [[row[i] for i in kept] for row in rows]
    for title in titles:
        number = title in ("size", "epochs") or title.startswith("best")
        table.add_column(title, justify="right" if number else "left", overflow="fold", no_wrap=title == "changed")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)


def format_size(size: float) -> str:
    """Return a number of bytes as a person would say it: 12 kB, 3.4 MB."""
    for unit in UNITS:
        if size < 1000 or unit == UNITS[-1]:
            break
        size /= 1000
    return f"{size:.0f} {unit}" if size >= 10 or unit == "B" else f"{size:.1f} {unit}"


def _diff(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("first", help="the directory of a run")
    parser.add_argument("second", help="the directory of another")
    parser.add_argument("--json", action="store_true", help="print JSON")


@command(_diff)
def diff(options: argparse.Namespace) -> int:
    """Show what differs between two runs: settings, versions, code, data, then curves. Exit code 0 if nothing of
    settings and curves does, else 1."""
    paths = [require_record(to_path(path)) for path in (options.first, options.second)]
    for path in paths:
        if shelf.find_runs(path) != [path]:
            raise UserError(
                f"{path} is a study. Name one of its runs (paribus ls {path}); two studies are compared by "
                "paribus compare NEW --against OLD."
            )
    found = compare_runs(*paths)
    if options.json:
        print(json.dumps(found, indent=2))
        return 0 if found["identical"] else 1
    for part in ("settings", "versions", "code", "data", "execution"):
        if found[part]:
            _print_table([part, "first", "second"], [[k, *map(_show, pair)] for k, pair in found[part].items()])
            print()
    for line in found["patch"][:MOST_LINES]:
        print(line)
    left = len(found["patch"]) - MOST_LINES
    if left > 0:
        print(f"... {left} more lines: {record.PATCH} of both runs, or --json")
    if found["curves"]:
        rows = [[c, str(d["first_epoch"]), *map(_show, d["last"])] for c, d in found["curves"].items()]
        _print_table(["curve", "differs from epoch", "last of first", "last of second"], rows)
    else:
        print("The curves are identical.")
    return 0 if found["identical"] else 1


def _show(value: Any) -> str:
    return "(none)" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def _note(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", help="a run or study")
    parser.add_argument("text", nargs="*", help="a paragraph to add; without it, the note is printed")


@command(_note)
def note(options: argparse.Namespace) -> None:
    """Add a paragraph to the note of a run or study (notes.md), or print the note."""
    path = require_record(to_path(options.path))
    text = " ".join(options.text).strip()
    if text:
        shelf.add_note(path, text)
    else:
        print(shelf.read_note(path).rstrip() or f"{path} has no note.")


def _tag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", help="a run or study")
    parser.add_argument("tags", nargs="*", metavar="TAG", help="tags to add")
    parser.add_argument("--remove", action="append", default=[], metavar="TAG", help="a tag to remove; repeatable")


@command(_tag)
def tag(options: argparse.Namespace) -> None:
    """Add and remove tags of a run or study, and print those it has. `paribus ls --tag TAG` selects by them."""
    path = require_record(to_path(options.path))
    bad = [tag for tag in options.tags if not tag.strip() or any(c.isspace() for c in tag)]
    if bad:
        raise UserError(f"{bad[0]!r} is no tag: a tag is one word.")
    changed = options.tags or options.remove
    print(*(shelf.change_tags(path, options.tags, options.remove) if changed else shelf.read_tags(path)))


def _rm(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "paths", nargs="*", metavar="PATH", help="runs or studies; with --empty where to look for trash"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--empty", action="store_true", help="delete what is in the trash (default: below outputs)")


@command(_rm)
def rm(options: argparse.Namespace) -> int:
    """List runs or studies and move them to the trash (outputs/.trash), or empty the trash."""
    paths = [to_path(path) for path in options.paths]
    if options.empty:
        roots = paths or [Path("outputs")]
        found = [path for root in roots for path in trash.find_trash(root)]
        for path in found:
            print(f"{path}  {format_size(shelf.measure_size(path))}")
        if not found:
            print("The trash is empty.")
            return 0
        if not _confirm("Delete this for good?", options.yes):
            return 1
        print(f"Freed {format_size(sum(trash.empty_trash(root) for root in roots))}.")
        return 0
    if not paths:
        raise UserError("Name runs or studies: paribus rm PATH ...")
    for path, runs, size in trash.check_removable(paths):
        print(f"{path}  {runs} run{'s' * (runs != 1)}  {format_size(size)}")
    if not _confirm("Move this to the trash?", options.yes):
        return 1
    for path in paths:
        print(f"{path} is now {_shorten(trash.move_to_trash(path))}")
    return 0


def _confirm(question: str, yes: bool) -> bool:
    """Ask on a terminal. Raises UserError where nobody can answer."""
    if yes:
        return True
    if not sys.stdin.isatty():
        raise UserError("Nothing was removed. Without a terminal, confirm with --yes.")
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:  # Ctrl-D
        print()
        return False


def _shorten(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("study", help="a study or run")
    parser.add_argument(
        "--to",
        metavar="FILE|wandb|mlflow",
        help="the archive (default: STUDY.tar.gz in the working directory), or a tracker that is installed",
    )


@command(_export)
def export(options: argparse.Namespace) -> None:
    """Pack a study or run into one archive with checksums, which `paribus open` unpacks; or export its finished runs to
    Weights & Biases or MLflow."""
    study = require_record(to_path(options.study))
    if options.to in trackers.TRACKERS:
        new, known, where = trackers.export_runs(study, options.to)
        print(f"{new} run{'s' * (new != 1)} exported, {known} there already: {where}")
        return
    target = to_path(options.to) if options.to is not None else Path(f"{study.resolve().name}.tar.gz")
    files = archive.pack(study, target)
    print(f"{target}: {files} files, {format_size(target.stat().st_size)}")


def _open(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("archive", help="a file that `paribus export` wrote")
    parser.add_argument("--into", default="outputs", metavar="DIR", help="default: outputs")


@command(_open)
def open(options: argparse.Namespace) -> None:
    """Unpack an archive of `paribus export`, after comparing checksums."""
    print(_shorten(archive.unpack(to_path(options.archive), to_path(options.into)).absolute()))
