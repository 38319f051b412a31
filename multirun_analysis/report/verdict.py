"""The first screen: best found, each factor's verdict, what is unusable, what matters, what to do next."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from multirun_analysis.compare.code_states import find_code_differences
from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.compare.confirmation import SETTING, describe_setting
from multirun_analysis.compare.contests import TUNABLE
from multirun_analysis.compare.design import Kind
from multirun_analysis.compare.plateau import improving
from multirun_analysis.compare.settings import Setting
from multirun_analysis.compare.shares import Shares
from multirun_analysis.records.described import ABSENT, in_words, is_number, order
from multirun_analysis.report.factor_lines import Sentence, factor_sentences
from multirun_analysis.report.factor_names import labels_of, name_of
from multirun_analysis.report.next_step import next_step
from multirun_analysis.report.noise import noise_sentence
from multirun_analysis.report.sentences import rising_runs
from multirun_analysis.report.why import why
from paribus import record
from paribus.formatting import wrap_lines

WIDTH = 80
NOTHING_MISSING = (*record.FINISHED, record.PAUSED)  # a search leaves paused runs behind
MOST_FACTORS = 5  # that have lines of their own
MOST_WORDS = 150
HEADING = 20  # words of it, at most
MOST_BLOCKS = 3  # whose best settings are named
LEAST_SHARE = 0.01
MOST_SHARES = 4


@dataclass(frozen=True)
class Line:
    """A part of the first screen: a label in capitals, and sentences."""

    label: str
    sentences: list[str]
    factor: str | None = None


@dataclass(frozen=True)
class Verdict:
    """The first screen.

    Attributes:
        heading: how many runs there are, how they ended, and by what they are compared.
        lines: in the order in which they are read.
        command: what to do next, to be pasted; None where there is none.
    """

    heading: str
    lines: list[Line]
    command: str | None

    def text(self, width: int = WIDTH) -> str:
        """Lay it out for a terminal of so many columns."""
        indent = max((len(line.label) for line in self.lines), default=0) + 2
        found = wrap_lines(self.heading, width)
        for line in self.lines:
            first = line.label.ljust(indent)
            for sentence in line.sentences:
                found += wrap_lines(sentence, width, first, " " * indent)
                first = " " * indent
        if self.command:
            found += ["", f"  {self.command}"]
        return "\n".join(found)


def verdict(comparison: Comparison) -> Verdict:
    """Say what a comparison comes to, in at most 25 lines of 80 columns and 150 words."""
    step = next_step(comparison)
    best = [Line("BEST FOUND", _best(comparison))] if comparison.best_by_block else []
    confirmed = [result.factor for result in comparison.results if result.factor not in comparison.by]
    found = {factor: factor_sentences(comparison, factor) for factor in [*_judged(comparison), *confirmed]}
    ranked = sorted(found, key=lambda factor: found[factor].rank)
    rest = [
        Line(label, [sentence])
        for label, sentence in (
            ("NOT FRESH", _not_fresh(comparison)),
            ("CODE", _code(comparison)),
            ("UNUSABLE", unusable(comparison)),
            ("WHY", why(comparison)),
            ("LOOKS", _looks(comparison)),
            ("MATTERS", _matters(comparison.shares, comparison.confirmed)),
            ("NOISE", noise_sentence(comparison)),
            ("HOLDS FOR", _holds_for(comparison)),
            ("MISSING", _missing(comparison)),
            ("NEXT", step.sentence),
        )
        if sentence
    ]
    for most in range(min(MOST_FACTORS, len(ranked)), -1, -1):  # as many factors as there is room for
        lines = _shortened([*best, *_factor_lines(found, ranked[:most]), *rest])
        if _words(lines) <= MOST_WORDS - HEADING:
            break
    return Verdict(_heading(comparison), lines, step.command)


def _factor_lines(found: Mapping[str, Sentence], kept: Sequence[str]) -> list[Line]:
    """A line for each factor that is kept, in the order in which they were found, and how many are left out."""
    labels, left = labels_of(kept), len(found) - len(kept)
    lines = [Line(labels[factor], found[factor].sentences, factor) for factor in found if factor in kept]
    return [*lines, Line("", [f"and {left} more factor{'s' * (left > 1)}: --details"])] if left else lines


def _judged(comparison: Comparison) -> list[str]:
    """The factors that differ between the runs that are judged: not what the search chose, for all levels or each."""
    runs = [run for run in comparison.described.values() if run.choices and run.confirms == comparison.confirmed]
    searched = any(r.contest.kind == Kind.CONFIRMED and r.factor != SETTING for r in comparison.results)
    chosen = {f for f in comparison.by if searched and f.startswith(TUNABLE) and not comparison.of(f)}
    return [f for f in comparison.by if f not in chosen and len({run.level(f) for run in runs}) > 1]


def _not_fresh(comparison: Comparison) -> str | None:
    number = len(comparison.reused)
    marked = f"{number:,} run{'s' * (number > 1)} marked as confirmation"
    return f"{marked}, on seeds that the search has used: they confirm nothing" if number else None


def _code(comparison: Comparison) -> str | None:
    """Name levels that were compared although different states of the code made their runs."""
    found = find_code_differences(comparison.results, comparison.study.summaries)
    if not found:
        return None
    first, more = found[0], f", and {len(found) - 1} more pairs" if len(found) > 1 else ""
    levels = f"{in_words(first.a)} and {in_words(first.b)} ({name_of(first.factor).lower()}{more})"
    seeds = "" if first.differing == first.of else f" for {first.differing} of {first.of} seeds"
    return f"{levels} were made by different code{seeds}, which may be the difference: paribus diff RUN RUN shows it"


def _shortened(lines: list[Line]) -> list[Line]:
    """Drop second sentences of factors, the last ones first, then what matters and why, until few words are left."""
    lines = [replace(line, sentences=list(line.sentences)) for line in lines]
    most = MOST_WORDS - HEADING
    for line in reversed(lines):
        while _words(lines) > most and len(line.sentences) > 1:
            line.sentences.pop()
    for label in ("MATTERS", "WHY", "HOLDS FOR", "NOISE"):
        if _words(lines) > most:
            lines = [line for line in lines if line.label != label]
    return lines


def _words(lines: Sequence[Line]) -> int:
    return sum(len(f"{line.label} {' '.join(line.sentences)}".split()) for line in lines)


def _heading(comparison: Comparison) -> str:
    runs = comparison.study.runs
    ends = ", ".join(f"{number} {status}" for status, number in runs["status"].value_counts().items())
    settings = len({setting.cell for setting in comparison.tried})
    many = f" of {settings} settings" if settings > 1 else ""
    margin = "" if comparison.margin is None else f", margin {comparison.metric.show_difference(comparison.margin)}"
    unread = runs["folds"].notna() & (runs["status"] == record.COMPLETED) if "folds" in runs else runs["status"] == ""
    partly = comparison.metric.statistic == "settled" and 0 < unread.sum() < (runs["status"] == record.COMPLETED).sum()
    lacking = f" ({unread.sum()} without usable {record.FOLDS}: --details)" if partly else ""
    return f"{len(runs):,} run{'s' * (len(runs) != 1)}{many} ({ends}){margin}, by {comparison.metric.name}{lacking}"


def describe(comparison: Comparison, setting: Setting) -> str:
    """Put a setting into words: what was varied, or, where nothing was, what the run was made of."""
    levels = describe_setting(setting.levels)
    if levels:
        return levels
    choices = comparison.described[setting.runs[0]].choices
    return ", ".join(choices[group] for group in ("model", "activation", "optim", "scheduler") if group in choices)


def _best(comparison: Comparison) -> list[str]:
    """The best setting; of runs that are validated on different samples, one for each of them."""
    found = [_describe_best(comparison, setting) for setting in comparison.best_by_block]
    left = len(found) - MOST_BLOCKS
    return [*found[:MOST_BLOCKS], f"and {left} more data: --details"] if left > 0 else found


def _describe_best(comparison: Comparison, setting: Setting) -> str:
    metric, n, block = comparison.metric, setting.finished, setting.block(comparison.blocks)
    what = f"{describe(comparison, setting)}: {metric.short} {metric.show(setting.mean.mean)}"
    unit = "run" if any(run.own for run in comparison.described.values()) else "seed"  # with seeds of several sources
    seeds = f"{n} {'fresh ' * setting.confirms}{unit}{'s' * (n != 1)}"
    rivals = [s for s in comparison.tried if s.finished and not s.confirms and s.block(comparison.blocks) == block]
    candidates = {s.cell for s in comparison.candidates}
    few = sum(s.usable and s.cell not in candidates for s in rivals)
    several = len(rivals) - few
    optimistic = "" if setting.confirms or several < 2 else f"; the best of {several}, so optimistic"
    optimistic += "" if setting.confirms or not few else f"; {few} with fewer seeds left out"
    searched = next((s for s in rivals if s.cell == setting.cell and setting.confirms), None)
    optimistic += "" if searched is None else f"; {metric.show(searched.mean.mean)} in the search"
    diverged = f", {setting.diverged} more diverged" if setting.diverged else ""
    return f"{what} ({seeds}{diverged}{optimistic})"


def unusable(comparison: Comparison) -> str | None:
    """Say how many runs diverged, and in what they agree."""
    broken = [s for s in comparison.tried if s.diverged]
    if not broken:
        return None
    counted = sum(s.diverged for s in broken)
    total = sum(s.finished + s.diverged + s.missing for s in comparison.tried)
    bad = [s for s in broken if not s.usable]
    if not bad:
        return f"nothing; {counted} of {total:,} runs diverged, no setting in most of its seeds"
    where = agreement(comparison, bad)
    runs = sum(s.diverged for s in bad)
    rest = f"; {counted - runs} more elsewhere" if counted > runs else ""
    many = f"{len(bad)} setting{'s' * (len(bad) > 1)}"
    return f"{many}{f' ({where})' if where else ''}: {runs} of {total:,} runs diverged there{rest}"


def agreement(comparison: Comparison, settings: Sequence[Setting]) -> str:
    """Say in what some settings agree that others do not: all sgd_momentum at lr >= 0.01."""
    parts = []
    for factor in comparison.factors:
        mine = order({s.levels[factor] for s in settings})
        every = order({s.levels[factor] for s in comparison.tried})
        if len(mine) == len(every) or ABSENT in mine:  # what they have not says nothing
            continue
        numbers = [level for level in every if is_number(level)]
        name = f"{factor.rpartition('.')[2]} "
        if len(mine) > 1 and mine == numbers[-len(mine) :]:
            parts.append(f"{name}>= {in_words(mine[0])}")
        elif len(mine) > 1 and mine == numbers[: len(mine)]:
            parts.append(f"{name}<= {in_words(mine[-1])}")
        elif len(mine) <= 3:
            parts.append(("" if "." not in factor else name) + " or ".join(map(in_words, mine)))
    return ", ".join(parts)


def _looks(comparison: Comparison) -> str | None:
    """Say at which look the study was judged, and whether it goes on; None where the number of seeds was fixed."""
    plan, looks = comparison.study.plan, comparison.looks
    if plan is None or looks is None:
        return None
    if not looks.taken:
        return f"none taken: nothing is concluded before the first one, with {plan.looks[0]} seeds"
    at = f"look {looks.taken} of {len(plan.looks)}, {plan.looks[looks.taken - 1]} seeds"
    if not plan.ended:
        return f"{at}: not decided yet"
    if not plan.taken[-1].undecided:
        return f"decided at {at}"
    return f"{at}: all planned seeds are there, and what is undecided stays so"


def _matters(shares: Shares | None, confirmed: bool) -> str | None:
    """Say which factor goes with how much of the variance, and what the rest is."""
    if shares is None or len(shares.of_factors) < 2:
        return None
    parts: list[str] = []
    of = " of the search's variance" if confirmed else " of the variance"
    for share in shares.of_factors[:MOST_SHARES]:
        *first, last = [name_of(factor).lower() for factor in share.factors[:3]]
        names = f"{', '.join(first)} and {last}" if first else last
        amount = f"{100 * share.value:.0f} %" if share.value >= LEAST_SHARE else "< 1 %"
        parts.append(f"{names} {amount}" + (of if not parts else ""))
    if not math.isnan(shares.of_combinations):
        rest = {"combinations": shares.of_combinations, "seeds": shares.of_seeds}
        parts += [f"{name} {100 * value:.0f} %" for name, value in rest.items() if value >= LEAST_SHARE]
    return ", ".join(parts)


def _holds_for(comparison: Comparison) -> str | None:
    """For what budget it holds, and where another statistic of the runs says otherwise."""
    parts: list[str] = []
    if comparison.results and improving(comparison) > 0.5:
        parts.append(rising_runs(comparison))
    if comparison.other is not None:
        statistic, results = comparison.other
        other = {(r.factor, tuple(r.contest.block.items())): r for r in results}
        tuned = {key for result in comparison.results for key in result.contest.nuisances}
        for result in (r for r in comparison.results if r.factor not in tuned):
            beside = other.get((result.factor, tuple(result.contest.block.items())))
            if beside is None or result.best is None or beside.best is None:
                continue
            name = name_of(result.factor).lower()
            if result.winner is not None and beside.winner is None:
                only = f"ahead by {comparison.metric.statistic} values only, not by {statistic.statistic} ones"
                parts.append(f"{in_words(result.winner)} ({name}) {only}")
            elif any(one.decides(result.best.level, beside.best.level) for one in (result, beside)):
                parts.append(f"{name}: by {statistic.statistic} {in_words(beside.best.level)} leads")
    return "; ".join(parts[:3]) or None


def _missing(comparison: Comparison) -> str | None:
    counts = comparison.study.runs["status"].value_counts()
    parts = [f"{number} {status}" for status, number in counts.items() if status not in NOTHING_MISSING]
    one = len(parts) == 1 and parts[0].startswith("1 ")
    found = [f"{', '.join(parts)}: {'it says' if one else 'they say'} nothing yet"] if parts else []
    without = (comparison.study.runs["status"] == record.COMPLETED) & comparison.values.isna()
    if without.any():
        found.append(f"{without.sum():,} completed without a {comparison.metric.short}")
    planned = comparison.study.planned
    if planned is not None and planned.unrecorded:
        have = "has" if planned.unrecorded == 1 else "have"
        found.append(f"{planned.unrecorded:,} of {planned.runs:,} planned runs {have} no record")
    return "; ".join(found) or None
