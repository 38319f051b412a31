"""Everything that is said of a comparison as one document, in Markdown or LaTeX."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from multirun_analysis.compare.checks import cautions
from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.compare.design import Kind
from multirun_analysis.compare.interactions import Interaction
from multirun_analysis.compare.metric import WORDS
from multirun_analysis.compare.targets import Target
from multirun_analysis.compare.times import TimeComparison
from multirun_analysis.report import diagnosis_tables, result_tables
from multirun_analysis.report.budget_tables import by_trials, equal_costs
from multirun_analysis.report.noise import noise_table
from multirun_analysis.report.sentences import not_compared, of_missing
from multirun_analysis.report.tables import crossed, numeric, runs, settings
from multirun_analysis.report.time_tables import pairs, times
from multirun_analysis.report.verdict import Verdict
from multirun_analysis.report.why import inner_table

Part = tuple[str, pd.DataFrame | list[str]]
MOST_INTERACTIONS = 6


def document(comparison: Comparison, found: Verdict, behind: Sequence[Part]) -> list[Part]:
    """Compose everything, part by part: the first screen, what stands behind it, and all runs."""
    first = [f"{line.label}: {text}" if line.label else text for line in found.lines for text in line.sentences]
    verdict = ("Verdict", [found.heading, *first, *([found.command] if found.command else [])])
    return [verdict, *behind, ("Runs", runs(comparison))]


def details(
    comparison: Comparison,
    crossed_factors: Sequence[Interaction],
    target: Target | None,
    compared_times: TimeComparison | None = None,
) -> list[Part]:
    """Compose what stands behind the first screen."""
    metric = comparison.metric
    parts: list[Part] = []
    if comparison.confirmed:
        parts.append(("Confirmation: what the search found, and fresh seeds", result_tables.confirmed(comparison)))
    for result in comparison.results:
        kind = f" ({result.contest.where})" if result.contest.where else ""
        title = f"{result.factor}{kind}: {result.contest.kind}, by {metric.name}"
        parts += [
            (title, result_tables.ranking(result, comparison)),
            (f"{title}: pairs", result_tables.pairs(result, comparison)),
        ]
        if result.contest.kind == Kind.TUNED and not any(b.fault for b in comparison.budgets):
            parts.append((f"{result.factor}: the best of so many trials", result_tables.budgets(result, comparison)))
    for budgets in comparison.budgets:
        where = f" ({budgets.contest.where})" if budgets.contest.where else ""
        title = f"{budgets.factor}{where}: what the best of so many trials is worth, on a seed that did not choose it"
        by_number = [f"It is {budgets.fault}."] if budgets.fault else by_trials(budgets, metric)
        parts += [(title, by_number), *equal_costs(budgets, metric)]
    parts.append(("Divergence", result_tables.divergence(comparison)))
    parts.append(("Why: the clearest differences inside the networks", inner_table(comparison)))
    parts.append(("Diagnosis", diagnosis_tables.sentences(comparison)))
    parts.append(("Diagnosis by setting", diagnosis_tables.by_setting(comparison)))
    parts.append(("Diagnosis by run", diagnosis_tables.by_run(comparison)))
    parts.append(("Shares of the variance", result_tables.shares(comparison)))
    parts.append(("Noise budget: shares of the variance between seeds", noise_table(comparison)))
    parts.append(("Not compared", not_compared(comparison)))
    parts.append(("Missing", of_missing(comparison)))
    parts.append(("Handle with care", cautions(comparison)))
    for interaction in crossed_factors[:MOST_INTERACTIONS]:
        where = f" with {interaction.where}" if interaction.where else ""
        title = f"Exploratory: {' and '.join(interaction.factors)}{where}, means of {metric.name}"
        parts.append((title, crossed(interaction, comparison)))
    if target is not None:
        parts += _times(comparison, target, compared_times)
    parts.append(("Settings; ±: half of the 95 % interval over seeds (Student)", settings(comparison)))
    if metric.statistic:
        parts.append(("How it was compared", [f"{metric.name}: {WORDS[metric.statistic]}."]))
    return [(title, part) for title, part in parts if len(part)]


def _times(comparison: Comparison, target: Target, found: TimeComparison | None) -> list[Part]:
    title = f"Time to {target.in_words}"
    parts: list[Part] = [(title, times(comparison, target))]
    if found is None:
        return parts
    where = f"{title}: pairs, a family of their own, times up to {found.limit:g} epochs"
    return [(f"{title}: what is concluded", found.describe()), *parts, (where, pairs(found))]


def as_markdown(parts: Sequence[Part]) -> str:
    texts = []
    for title, part in parts:
        body = markdown(part) if isinstance(part, pd.DataFrame) else "\n".join(f"- {_plain(line)}" for line in part)
        texts.append(f"## {_plain(title)}\n\n{body}\n")
    return "\n".join(texts)


def as_latex(parts: Sequence[Part]) -> str:
    """Compose the tables alone; they need the package booktabs."""
    return "\n".join(latex(part, title) for title, part in parts if isinstance(part, pd.DataFrame))


def _plain(text: Any) -> str:
    """Text that Markdown shows as it is, at least where it would become HTML, a link, or break a line."""
    for mark, escaped in (("&", "&amp;"), ("<", "&lt;"), ("|", "\\|"), ("](", "\\]("), ("![", "!\\[")):
        text = str(text).replace(mark, escaped)
    return " ".join(str(text).splitlines())


def markdown(frame: pd.DataFrame) -> str:
    def cells(values: Sequence[Any]) -> str:
        return "| " + " | ".join(map(_plain, values)) + " |"

    rule = "|" + "|".join(" ---: " if numeric(frame[column]) else " --- " for column in frame.columns) + "|"
    return "\n".join([cells(list(frame.columns)), rule, *(cells(list(row)) for row in frame.itertuples(index=False))])


def latex(frame: pd.DataFrame, caption: str) -> str:
    """Compose a booktabs table."""
    align = "".join("r" if numeric(frame[column]) else "l" for column in frame.columns)
    escaped = frame.rename(columns=_escaped).map(_escaped)
    return escaped.to_latex(index=False, column_format=align, caption=_escaped(caption), escape=False)


def _escaped(text: Any) -> str:
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$"}
    special |= {c: f"\\{c}" for c in "&%$#_{}"}
    return "".join(special.get(c, c) for c in str(text))
