"""What sections are written with: records as comparisons, numbers with their intervals, tables, figures."""

import math
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from multirun_analysis import load_runs
from multirun_analysis.compare.comparison import Comparison, compare
from multirun_analysis.compare.inference import interval, prediction_interval
from multirun_analysis.compare.results import Result, Verdict
from multirun_analysis.figures import outcomes
from multirun_analysis.records.described import in_words
from multirun_analysis.report.documents import markdown
from multirun_analysis.report.sentences import count
from multirun_analysis.report.verdict import verdict
from paribus import record
from studies.catalogue import BY_NAME, runs_of
from studies.making import OUTPUTS

EXPONENT_FROM = 1e7
COLOURS = 128  # of a palette; fewer turn the thin lines of a legend into another colour


class NotMade(Exception):
    """Records of a study that a section is about are not there: which study, and how far it is."""

    def __init__(self, name: str, how_far: str = "Not made yet."):
        super().__init__(how_far)
        self.name = name


@dataclass(frozen=True)
class Claim:
    """What a report said, what came out here, and what may be concluded."""

    said: str
    theirs: str
    ours: str
    concluded: str


@dataclass
class Section:
    """A part of STUDIES.md: the studies that it is about, and Markdown blocks that say what came of them."""

    studies: Sequence[str]
    blocks: list[str] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)


@dataclass(frozen=True)
class Material:
    """Where the records are and where figures go."""

    outputs: Path = OUTPUTS
    figures: Path = Path("docs/studies")

    def comparison(self, name: str, metric: str | None = None, partly: bool = False) -> Comparison:
        """What the records of a study come to. Raises NotMade where runs are missing; `partly`: where all are."""
        directory = self.outputs / name
        if not directory.is_dir() or not any(directory.glob(f"*/{record.METRICS}")):
            raise NotMade(name)
        study = load_runs(directory)
        ended, wanted = int(study.runs["status"].isin(record.FINISHED).sum()), runs_of(name)
        if ended < wanted and not partly:
            raise NotMade(name, f"Made in part: {ended} of {wanted} runs have ended.")
        if BY_NAME[name].searched and not any(run.confirms for run in study.described.values()):
            raise NotMade(name, "Made in part: nothing is confirmed yet.")
        if metric is not None and metric not in study.runs:
            raise NotMade(name, "Made, but not evaluated on the test set.")
        return compare(study, metric=metric)

    def figure(self, name: str, drawn: Figure | None, shows: str) -> str:
        """Save a figure, small, and refer to it."""
        assert drawn is not None, f"the records have nothing for the figure {name}"
        self.figures.mkdir(parents=True, exist_ok=True)
        path = self.figures / f"{name}.png"
        drawn.savefig(path, dpi=90)
        with Image.open(path) as image:
            image.convert("RGB").quantize(COLOURS).save(path, optimize=True)
        return f"![{shows}]({path.as_posix()})"

    def differences(self, name: str, comparison: Comparison, factor: str) -> str:
        """Draw how far the levels of a factor lie from the best one; an empty text where they were not compared."""
        drawn = (outcomes.differences(result, comparison) for result in comparison.of(factor))
        first = next((figure for figure in drawn if figure is not None), None)
        shows = f"Differences of {factor} from its best level, with 95 % intervals"
        return self.figure(name, first, shows) if first is not None else ""


def number(value: float, digits: int = 3) -> str:
    """Write as many significant digits, or all before the point; from ten million on with an exponent."""
    if not math.isfinite(value):
        return "not finite"
    if abs(value) >= EXPONENT_FROM:
        return f"{value:.{digits - 1}e}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value)))) if value else 0
    return f"{value:,.{min(decimals, 8)}f}"


def percent(value: float) -> str:
    return f"{100 * value:.2f} %"


Show = Callable[[float], str]


def spread(values: Iterable[float], show: Show = number) -> str:
    """Mean with its 95 % interval over seeds, and the range of the seeds."""
    found = np.asarray(list(values), dtype=float)
    mean, low, high = interval(found)
    if len(found) < 2:
        return show(mean)
    return f"{show(mean)} [{_bare(show, low)}, {_bare(show, high)}]"


def further(value: float, values: Iterable[float], show: Show = number) -> str:
    """Where a single figure of a report lies, of what a further run of ours would give (95 %, normal deviations)."""
    found = np.asarray(list(values), dtype=float)
    if len(found) < 2:
        return "beside fewer than two runs of ours: nothing can be said"
    low, high = prediction_interval(found)
    where = "in" if low <= value <= high else "below" if value < low else "above"
    return f"{where} the range in which 95 % of further runs of ours would lie, {_bare(show, low)} to {show(high)}"


def _bare(show: Show, value: float) -> str:
    return show(value).removesuffix(" %")


def values_of(comparison: Comparison, column: str, **levels: object) -> pd.Series:
    """A column of the completed runs that have these levels of factors (a._b stands for a.b in a name)."""
    runs = comparison.study.runs
    return runs.loc[runs_with(comparison, **levels) & (runs["status"] == record.COMPLETED), column].astype(float)


def runs_with(comparison: Comparison, **levels: object) -> pd.Series:
    """Which runs have these levels of factors; double underscores stand for dots."""
    chosen = pd.Series(True, comparison.study.runs.index)
    for key, level in levels.items():
        factor = key.replace("__", ".")
        found = {name: run.level(factor) for name, run in comparison.described.items()}
        chosen &= pd.Series({name: has == level for name, has in found.items()})
    return chosen


def broken(comparison: Comparison, **levels: object) -> str:
    """How many of the runs with these levels did not complete, in words; nothing where all did."""
    runs = comparison.study.runs
    ends = runs.loc[runs_with(comparison, **levels), "status"].value_counts()
    return ", ".join(f"{count} {status}" for status, count in ends.items() if status != record.COMPLETED)


def varying(frame: pd.DataFrame, keep: Sequence[str] = (), drop: Sequence[str] = ()) -> pd.DataFrame:
    """A table without the columns that say the same in every row."""
    return frame[[c for c in frame if c in keep or (c not in drop and frame[c].nunique() > 1)]]


def table(rows: pd.DataFrame | Sequence[Mapping[str, object]], title: str = "") -> str:
    """Write rows as a table, folded below its title where it has one: the page stays short."""
    written = markdown(pd.DataFrame(rows).fillna("").astype(str))
    return f"<details><summary>{title}</summary>\n\n{written}\n\n</details>" if title else written


def commands(names: Sequence[str]) -> str:
    """The commands that make studies, as a block of code."""
    lines = [" ".join(map(shlex.quote, typed)) for name in names for typed in BY_NAME[name].commands]
    return "\n".join(f"    {line}" for line in lines)


def told(comparison: Comparison) -> str:
    """Quote the first screen of the analysis."""
    lines = verdict(comparison).text(width=100).splitlines()
    return "What `python -m multirun_analysis` concludes:\n\n" + "\n".join(f"    {line}".rstrip() for line in lines)


def outcome(result: Result) -> str:
    """Say in a few words what a comparison comes to."""
    if result.exploratory:
        return "one seed: no winner may be named"
    if result.winner is not None:
        return f"{in_words(result.winner)} is better than all others"
    if not any(pair.verdict in (Verdict.BETTER, Verdict.WORSE) for pair in result.pairs):
        return f"undecided between {len(result.usable)} levels"
    first = result.usable[0]
    pairs = {level.level: result.pair(first.level, level.level) for level in result.usable[1:]}
    worse = [in_words(level) for level, pair in pairs.items() if pair is not None and pair.verdict == Verdict.BETTER]
    return f"no winner; {in_words(first.level)} is better than {', '.join(worse)}" if worse else "no winner"


def made(comparison: Comparison) -> str:
    """How many runs there are, how they ended, and how long they trained."""
    runs = comparison.study.runs
    ends = ", ".join(f"{count} {status}" for status, count in runs["status"].value_counts().items())
    curves = comparison.study.curves
    seconds = curves[curves["metric"] == "seconds"].groupby("run", observed=True)["value"].max().sum()
    long = count(round(seconds / 60), "minute") if seconds > 90 else count(round(seconds), "second")
    threads = {int(summary.get("threads", 0)) for summary in comparison.study.summaries.values()} - {0}
    each = f" on {' or '.join(map(str, sorted(threads)))} thread{'s' * (threads != {1})} each" if threads else ""
    return f"{count(len(runs), 'run')}: {ends}; {long} of training in all{each}."
