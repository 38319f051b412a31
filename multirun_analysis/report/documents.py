"""Everything that is told of a comparison as one document, in Markdown or LaTeX."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.compare.interactions import Interaction
from multirun_analysis.compare.targets import Target
from multirun_analysis.report.tables import crossed, numeric, pairs, ranking, runs, settings, times
from multirun_analysis.report.verdict import Verdict


def document(
    comparison: Comparison, told: Verdict, crossed_factors: Sequence[Interaction], target: Target | None
) -> list[tuple[str, pd.DataFrame | list[str]]]:
    """Everything that is told, part by part: a heading, and sentences or a table."""
    parts: list[tuple[str, pd.DataFrame | list[str]]] = list(told.parts)
    for result in comparison.results:
        where = f" with {result.contest.where}" if result.contest.where else ""
        title = f"{result.contest.factor}{where} ({result.contest.kind}), {comparison.metric.name}"
        parts += [(title, ranking(result, comparison)), (f"{title}: pairs", pairs(result, comparison))]
    for interaction in crossed_factors:
        where = interaction.where
        title = f"{' and '.join(interaction.factors)}{f' with {where}' if where else ''}, {comparison.metric.name}"
        parts.append((title, crossed(interaction, comparison)))
    if target is not None:
        parts.append((f"Time to {target.in_words}", times(comparison, target)))
    parts.append(("Settings; ±: half of the 95 % interval over seeds (Student)", settings(comparison)))
    parts.append(("Runs", runs(comparison)))
    return [(title, part) for title, part in parts if len(part)]


def as_markdown(parts: Sequence[tuple[str, pd.DataFrame | list[str]]]) -> str:
    texts = []
    for title, part in parts:
        body = markdown(part) if isinstance(part, pd.DataFrame) else "\n".join(f"- {_plain(line)}" for line in part)
        texts.append(f"## {_plain(title)}\n\n{body}\n")
    return "\n".join(texts)


def as_latex(parts: Sequence[tuple[str, pd.DataFrame | list[str]]]) -> str:
    """The tables alone; needs the package booktabs."""
    return "\n".join(latex(part, title) for title, part in parts if isinstance(part, pd.DataFrame))


def _plain(text: Any) -> str:
    """Text that Markdown shows as it is, at least where it would become HTML or break a line."""
    return " ".join(str(text).replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|").splitlines())


def markdown(frame: pd.DataFrame) -> str:
    def cells(values: Sequence[Any]) -> str:
        return "| " + " | ".join(map(_plain, values)) + " |"

    rule = "|" + "|".join(" ---: " if numeric(frame[column]) else " --- " for column in frame.columns) + "|"
    return "\n".join([cells(list(frame.columns)), rule, *(cells(list(row)) for row in frame.itertuples(index=False))])


def latex(frame: pd.DataFrame, caption: str) -> str:
    """A booktabs table."""
    align = "".join("r" if numeric(frame[column]) else "l" for column in frame.columns)
    escaped = frame.rename(columns=_escaped).map(_escaped)
    return escaped.to_latex(index=False, column_format=align, caption=_escaped(caption), escape=False)


def _escaped(text: Any) -> str:
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$"}
    special |= {c: f"\\{c}" for c in "&%$#_{}"}
    return "".join(special.get(c, c) for c in str(text))
