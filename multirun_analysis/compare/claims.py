"""A claim about two levels, held against the records: "optim: adam >= sgd - 0.3pt"."""

import math
import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.compare.inference import ALPHA
from multirun_analysis.compare.metric import Metric, parse_margin
from multirun_analysis.compare.results import Pair, Result
from multirun_analysis.records.described import in_words, is_number
from paribus.errors import UserError, unknown_name

FORM = 'FACTOR: LEVEL OP LEVEL [+ or - MARGIN], with OP one of >=, <=, >, <, ==, such as "optim: adam >= sgd - 0.3pt"'
PATTERN = re.compile(r"\s*(?P<factor>[^:]+?)\s*:\s*(?P<a>.+?)\s*(?P<op>>=|<=|==|>|<)\s*(?P<rest>.+?)\s*")
NUMBER = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?"
FOR_LESS = {">=": "no better than", ">": "worse than", "<=": "no worse than", "<": "better than"}  # less is better
WITH_MARGIN = re.compile(rf"(?P<b>.+?)\s*(?P<sign>\+-|±|[+-])\s*(?P<margin>{NUMBER}\s*[a-zA-Z%]*)")


class Answer(StrEnum):
    """The answer to a claim, in the order of the exit codes 0, 1, 2."""

    HOLDS = "holds"
    REFUTED = "refuted"
    UNDECIDED = "undecided"

    @property
    def exit_code(self) -> int:
        return list(Answer).index(self)


@dataclass(frozen=True)
class Claim:
    """A claim, what came of it, and in numbers why.

    Attributes:
        difference: the first level's mean less the second's, with the ends of its 95 % interval.
    """

    text: str
    answer: Answer
    difference: tuple[float, float, float]
    seeds: int
    sentence: str


def check_claim(comparison: Comparison, text: str) -> Claim:
    """Hold a claim against the records; see `judge_claim`."""
    return judge_claim(comparison.results, comparison.metric, text)


def judge_claim(every: Sequence[Result], metric: Metric, text: str) -> Claim:
    """Hold a claim against what came of factors, each side tested at 0.05; it is one test, and is not corrected.

    The values are those of the metric: for a loss, "adam <= sgd" claims that adam is at least as good. Raises UserError
    for a claim that cannot be read, or that names a factor or level that is not there or was not compared.
    """
    read = PATTERN.fullmatch(text)
    if read is None:
        raise UserError(f"The claim {text!r} is not understood. Its form is {FORM}.")
    results = [r for r in every if _names(r.factor, read["factor"])]
    factors = sorted({r.factor for r in results or every})
    if not results:
        raise unknown_name(read["factor"], "what was compared (--claim)", factors)
    if len(factors) > 1:
        raise UserError(f"The claim {text!r}: {read['factor']} may be {' or '.join(factors)}. Write it out.")
    levels = [level.level for result in results for level in result.levels]
    first, second, parts = _find(read["a"], levels), _find(read["rest"], levels), None
    if second is None:  # a level may look like one with a margin: 1e-05, resnet-18
        parts = WITH_MARGIN.fullmatch(read["rest"])
        second = _find(parts["b"], levels) if parts else None
    for typed, level in ((read["a"], first), (parts["b"] if parts else read["rest"], second)):
        if level is None:
            raise unknown_name(typed, f"the levels of {factors[0]} (--claim)", sorted(set(map(in_words, levels))))
    margin, sign = (parse_margin(parts["margin"], metric), parts["sign"]) if parts else (0.0, "")
    equal, symmetric = read["op"] == "==", sign in ("+-", "±")
    if equal and not symmetric:
        example = "0.3pt" if metric.is_share else "0.5"
        raise UserError(f'The claim {text!r} needs a margin: "{read["a"]} == {in_words(second)} +- {example}".')
    if symmetric and not equal:
        raise UserError(f"The claim {text!r}: +- goes with == only. Its form is {FORM}.")
    result, pair = _compared(results, first, second)
    shift = -margin if sign == "-" else margin
    if result.log:
        reference = next(level.mean for level in result.levels if level.level == second)
        # a loss cannot be below 0
        shift = math.log1p(shift / reference) if shift > -reference else -math.inf
        margin = math.log1p(margin / reference)
    answer = _equal(pair, margin) if equal else _ordered(pair, read["op"], shift)
    whole = pair.estimate
    shown, less = metric.show_estimate(whole, result.log), "to" if result.log else "less"
    many = f"{whole.n} replicate{'s' * (whole.n != 1)}"
    alike = ", each with exactly the same difference" if whole.constant else ""
    sentence = f"{answer}: {in_words(first)} {less} {in_words(second)} is {shown}, {many}{alike}, by {metric.name}."
    if metric.sign < 0 and not equal:
        meaning = f"{in_words(first)} is {FOR_LESS[read['op']]} {in_words(second)}"
        but = ", but for the margin" if parts else ""
        sentence += f" Less {metric.short} is better, so {read['op']} claims that {meaning}{but}."
    return Claim(text, answer, (whole.mean, *whole.interval), whole.n, sentence)


def _find(typed: str, levels: Sequence[Hashable]) -> Hashable:
    """Find the level that is meant: as one writes it, or as an override has it (true, 1e-3, [64,32]); None: no one."""
    for level in levels:
        if in_words(level) == typed:
            return level
    for level in levels:
        plain = in_words(level).replace(" ", "")
        if (plain.lower() if isinstance(level, bool) else plain) == typed.replace(" ", ""):
            return level
        if is_number(level) and re.fullmatch(rf"[+-]?{NUMBER}", typed) and float(typed) == level:
            return level
    return None


def _compared(results: Sequence[Result], a: Hashable, b: Hashable) -> tuple[Result, Pair]:
    """Find the one result in which two levels were compared."""
    found = [(result, pair) for result in results if (pair := result.pair(a, b)) is not None]
    names = f"{in_words(a)} and {in_words(b)}"
    if a == b:
        raise UserError(f"The claim compares {in_words(a)} with itself. Name two levels.")
    if not found:
        raise UserError(f"{names}: never compared with all else equal, or one of them is unusable.")
    if len(found) > 1:
        blocks = "; ".join(result.contest.where for result, _ in found)
        raise UserError(f"{names} were compared on several data ({blocks}). Give the runs of one of them.")
    return found[0]


def _names(factor: str, typed: str) -> bool:
    return typed in (factor, factor.rpartition(".")[2])


def _ordered(pair: Pair, op: str, shift: float) -> Answer:
    above, below = _p_above(pair, shift), _p_above(pair.turned(), -shift)
    holds, refuted = (above, below) if op.startswith(">") else (below, above)
    return Answer.HOLDS if holds < ALPHA else Answer.REFUTED if refuted < ALPHA else Answer.UNDECIDED


def _equal(pair: Pair, margin: float) -> Answer:
    turned = pair.turned()
    within = max(_p_above(pair, -margin), _p_above(turned, -margin))
    beyond = min(_p_above(pair, margin), _p_above(turned, margin))
    return Answer.HOLDS if within < ALPHA else Answer.REFUTED if beyond < ALPHA / 2 else Answer.UNDECIDED


def _p_above(pair: Pair, value: float) -> float:
    """Compute the p of the hypothesis that a less b is at most `value`; what flatters a alone speaks for no claim."""
    mean = pair.observed - max(0.0, pair.optimism)
    return pair.estimate._replace(mean=mean).p_below(value)
