"""Carry out `paribus compare NEW --against OLD`: print what the change did, and write a page of it."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from multirun_analysis.compare.revisions import compare_revisions
from multirun_analysis.records.load import Study
from multirun_analysis.report.output import Output, choose_folder
from multirun_analysis.report.revision import as_object, describe_revision
from multirun_analysis.report.revision_page import compose_revision_page, compose_runs_csv
from multirun_analysis.report.verdict import WIDTH
from multirun_analysis.report.verdict_json import as_json
from paribus.errors import UserError


def compare_with_before(study: Study, known: Sequence[str], options: Namespace, console: Console) -> None:
    """Say what became of the runs of --against, and write a page of it."""
    unused = {"--by": options.by, "--claim": options.claim, "--target": options.target, "--pdf": options.pdf,
              "--latex": options.latex, "--details": options.details}  # fmt: skip
    given = [name for name, value in unused.items() if value not in (None, False, [])]
    if given:
        raise UserError(f"--against says what changed, and knows no {given[0]}. Leave it out.")
    root = options.against.resolve()
    folders = {str(name): Path(folder).resolve() for name, folder in study.runs["directory"].items()}
    before = {name for name, folder in folders.items() if folder.is_relative_to(root)}
    if any(path.resolve().is_relative_to(root) or root.is_relative_to(path.resolve()) for path in options.paths):
        raise UserError(f"{options.against} is one of the studies that it is held against. Name the other one.")
    found = {}
    for task in known:
        mine = study.of(task)
        if {True, False} <= {name in before for name in mine.runs.index}:
            found[task] = compare_revisions(mine, before, options.metric, options.margin, options.direction)
    if not found:
        raise UserError(f"{options.against} has no run of a task of the other runs: nothing can be compared.")
    objects = [as_object(revision) for revision in found.values()]
    if options.json:
        print(as_json(objects[0] if len(objects) == 1 else {"tasks": objects}))  # noqa: T201
        return
    folder = choose_folder(options.out, options.paths) / f"against_{root.name}"
    after = ", ".join(path.resolve().name for path in options.paths)
    for (task, revision), told in zip(found.items(), objects, strict=True):
        output = Output(folder / task if len(found) > 1 else folder)
        contents = {
            "report.html": compose_revision_page(revision, root.name, after),
            "verdict.json": as_json(told) + "\n",
            "runs.csv": compose_runs_csv(revision),
        }
        console.print(Text(describe_revision(revision).text(min(WIDTH, console.width))), soft_wrap=True)
        output.replace(contents)
        console.print(Text(f"\nPage: {output.folder / 'report.html'}"), soft_wrap=True)
        console.print(Text("Also: verdict.json, runs.csv"), soft_wrap=True)
