"""STUDIES.md: from the records of all studies, section by section."""

import platform
import re
from pathlib import Path

import torch

from paribus import record
from studies import concrete, fashion_mnist, vgg6
from studies.page import Claim, Material, NotMade, commands, table

PAGE = Path("STUDIES.md")
REPORTS = {
    "Report 1: activations and optimization, an MLP on Fashion-MNIST": fashion_mnist,
    "Report 3: the strength of concrete": concrete,
    "Report 2: VGG6 on CIFAR-10": vgg6,
}
HEAD = """\
# The three reports, made again

Paribus grew from three reports: activations and optimizers of an MLP on Fashion-MNIST (1), VGG6 on CIFAR-10 (2), and the strength of
concrete (3). Here each of their tables is a study that anybody can make again. What they said stands beside what came out here,
with what may be concluded.

    make studies        # makes what is not made yet (hours on 2 cores; interrupt it as you like), and writes this page

Every figure below was computed from the records that the command above it makes. Tables have the best epoch, as the reports
had; the verdicts compare the figure of the epoch that validation selects, scored on samples that did not select it
(`selected_`; docs/verdict.md). `[a, b]` is the 95 % interval of a mean over seeds
(Student's t); ± is half of it. A seed stands for split, initial weights and order of batches. Where a report has one run, the range is given in
which 95 % of further runs of ours would lie: a report's figure inside it agrees with ours. Each experiment is a file in
`conf/experiment/`.
"""

DRAWN = "What it drew, and where that is: in `outputs/STUDY/analysis/figures/` after `python -m multirun_analysis outputs/STUDY`."


def write(material: Material, page: Path = PAGE) -> list[str]:
    """Write the page; returns the studies that it has no records of, whose sections stay as they are in the page."""
    missing: list[str] = []
    before = page.read_text(encoding="utf-8") if page.exists() else ""
    kept = _sections_of(before)
    claims: list[Claim] = []
    parts = []
    for heading, report in REPORTS.items():
        parts += [f"## {heading}", DRAWN, table([{"the report's": a, "here": b} for a, b in report.FIGURES.items()])]
        for build in report.sections():
            parts.append(f"### {build.__doc__}")
            try:
                section = build(material)
            except NotMade as error:
                missing.append(error.name)
                parts += [kept.get((heading, str(build.__doc__))) or f"{commands([error.name])}\n\n{error}"]
                continue
            claims += section.claims
            parts += [commands(section.studies), *filter(None, section.blocks)]
    rows = [
        {"a report says": c.said, "its figure": c.theirs, "here": c.ours, "what may be concluded": c.concluded}
        for c in claims
    ]
    lines = _merge_claims(_claims_of(before) if missing else [], table(rows).splitlines() if rows else [])
    summary = ["## In short", "\n".join(lines)] if lines else []
    text = "\n\n".join([HEAD, *summary, *parts, _made_with(material)])
    with record.replace_file(page) as temporary:
        temporary.write_text(text.rstrip() + "\n", encoding="utf-8")
    return missing


def _sections_of(page: str) -> dict[tuple[str, str], str]:
    """Return the sections of a page, without their heading, by the report's heading and their own."""
    found = {}
    for report in re.split(r"^## ", page, flags=re.MULTILINE)[1:]:
        name = report.partition("\n")[0].strip()
        for part in re.split(r"^### ", report, flags=re.MULTILINE)[1:]:
            heading, _, body = part.partition("\n")
            found[name, heading.strip()] = re.split(r"^Written with ", body, flags=re.MULTILINE)[0].strip("\n")
    return found


def _merge_claims(before: list[str], now: list[str]) -> list[str]:
    """Return the table of claims `now` with the rows of `before` that it lacks, in the order of `before`."""
    if not now:
        return before
    head, rows = [now[0], "| --- | --- | --- | --- |"], {line.split(" | ")[0]: line for line in now[2:]}
    known = {line.split(" | ")[0]: line for line in before[2:]}
    return [*head, *({**known, **rows}.values())]


def _claims_of(page: str) -> list[str]:
    """Return the lines of a page's first table."""
    _, _, rest = page.partition("## In short")
    return [line for line in rest.split("\n## ")[0].splitlines() if line.startswith("| ")]


def _made_with(material: Material) -> str:
    return f"Written with Python {platform.python_version()} and torch {torch.__version__.split('+')[0]}."
