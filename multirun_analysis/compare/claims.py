"""A claim about two levels, held against the records: "optim: adam >= sgd - 0.3pt"."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.compare.inference import ALPHA
from multirun_analysis.compare.metric import Metric, parse_margin
from multirun_analysis.compare.results import Pair, Result
from multirun_analysis.records.described import in_words
from paribus.errors import UserError, unknown_name

FORM = 'FACTOR: LEVEL OP LEVEL [+ or - MARGIN], with OP one of >=, <=, >, <, ==; "optim: adam >= sgd - 0.3pt"'
PATTERN = re.compile(r"\s*(?P<factor>[^:]+?)\s*:\s*(?P<a>.+?)\s*(?P<op>>=|<=|==|>|<)\s*(?P<b>.+?)\s*"
                     r"(?:(?P<sign>\+-|±|[+-])\s*(?P<margin>[0-9][^+-]*?))?\s*")  # fmt: skip


class Answer(StrEnum):
    """What came of a claim, in the order of the exit codes 0, 1, 2."""

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
    found = PATTERN.fullmatch(text)
    if found is None:
        raise UserError(f"The claim {text!r} is not understood. Its form is {FORM}.")
    results = [r for r in every if _names(r.factor, found["factor"])]
    if not results:
        raise unknown_name(found["factor"], "what was compared (--claim)", sorted({r.factor for r in every}))
    margin = 0.0
    if found["margin"]:
        margin = parse_margin(found["margin"], metric)
    equal = found["op"] == "=="
    if equal and found["sign"] not in ("+-", "±"):
        raise UserError(f'The claim {text!r} needs a margin: "{found["a"]} == {found["b"]} +- {_example(metric)}".')
    if not equal and found["sign"] in ("+-", "±"):
        raise UserError(f"The claim {text!r}: +- goes with == only. Its form is {FORM}.")
    known = {in_words(level.level): level.level for result in results for level in result.levels}
    for name in (found["a"], found["b"]):
        if name not in known:
            raise unknown_name(name, f"the levels of {results[0].factor} (--claim)", sorted(known))
    pairs = [(r, p) for r in results if (p := r.pair(known[found["a"]], known[found["b"]])) is not None]
    if not pairs:
        why = "never compared with all else equal, or one of them is unusable"
        raise UserError(f"{found['a']} and {found['b']}: {why}.")
    if len(pairs) > 1:
        blocks = "; ".join(r.contest.where for r, _ in pairs)
        raise UserError(f"{results[0].factor} was compared on several data ({blocks}). Give the runs of one of them.")
    result, pair = pairs[0]
    whole, shift = pair.estimate, margin * (-1 if found["sign"] == "-" else 1)
    if result.log:
        reference = next(level.mean for level in result.levels if level.level == known[found["b"]])
        shift, margin = math.log1p(shift / reference), math.log1p(margin / reference)
    answer = _equal(pair, margin) if equal else _ordered(pair, found["op"], shift)
    ends = (whole.mean, *whole.interval)
    shown = metric.show_estimate(whole, result.log)
    less = "to" if result.log else "less"
    sentence = f"{answer}: {found['a']} {less} {found['b']} is {shown}, {whole.n} replicates, by {metric.name}."
    return Claim(text, answer, ends, whole.n, sentence)


def _names(factor: str, typed: str) -> bool:
    return typed in (factor, factor.rpartition(".")[2])


def _example(metric: Metric) -> str:
    return "0.3pt" if metric.is_share else "0.5"


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
