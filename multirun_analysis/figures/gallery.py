"""All figures of a comparison, each under a name, drawn one at a time as they are asked for."""

import ctypes
import multiprocessing
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.compare.interactions import Interaction
from multirun_analysis.compare.metric import default_metric
from multirun_analysis.figures import curves, layers, outcomes, schedules, settings, weights
from multirun_analysis.figures.activations import functions
from multirun_analysis.records.described import in_words
from paribus import record
from paribus.record import RecordError, replacing

MOST_FACTORS = 3
MOST_RESULTS = 6
MOST_RUNS = 4  # that are looked at one by one
# How names begin.
KINDS = ("activations", "curves", "dead", "depth", "differences", "gradient", "learning", "levels", "panels",
         "parallel", "predictions", "ranking", "schedules", "steps", "two_factors", "update", "weights",
         "zero")  # fmt: skip
Drawing = Callable[[], Figure | None]


@dataclass(frozen=True)
class Outcome:
    """What came of a drawing: a figure, none for want of data, or none since a file cannot be read, and why."""

    name: str
    drawn: bool
    trouble: str | None = None


def gallery(comparison: Comparison, crossed: Sequence[Interaction]) -> dict[str, Drawing]:
    """By name, safe in a file name, what draws it; that gives None where the runs have no data for it."""
    found: dict[str, Drawing] = {}
    metric = default_metric(comparison.task, comparison.factors).name.removeprefix("best_").replace("_", "/", 1)
    factors = comparison.by[:MOST_FACTORS] or [""]

    def add(name: str, draw: Callable[..., Figure | None], *arguments: object) -> None:
        found[re.sub(r"[^\w.=,-]+", "_", name)[:120]] = lambda: draw(*arguments)

    for factor in factors:
        by = f"_by_{factor}" if factor else ""
        for column in dict.fromkeys([metric, "val/loss"]):
            add(f"curves{by}_{column}", curves.overlaid, comparison, factor or None, column)
        add(f"panels{by}", curves.four_panels, comparison, factor or None)
        add(f"learning{by}", curves.learning_curves, comparison, factor or None)
        if factor:
            add(f"levels_of_{factor}", curves.per_level, comparison, factor, metric)
    first = factors[0]
    add("steps", curves.accuracy_against_step, comparison, first or None)
    add("schedules", schedules.schedules, comparison)
    results = [result for result in comparison.results if not result.contest.within]
    for result in results[:MOST_RESULTS]:
        name = ",".join(filter(None, (result.contest.factor, result.contest.where)))
        add(f"ranking_{name}", outcomes.ranking, result, comparison)
        add(f"differences_{name}", outcomes.differences, result, comparison)
    add("learning_rate", settings.lr_against, comparison)
    add("parallel", settings.parallel_coordinates, comparison)
    for a, b in list(dict.fromkeys(interaction.factors for interaction in crossed))[:MOST_FACTORS]:
        add(f"two_factors_{a}_{b}", settings.two_factors, comparison, a, b)
    for name, draw in {
        "gradient_flow": layers.gradient_flow,
        "gradient_bars": layers.gradient_bars,
        "zero_gradients": layers.zero_gradients,
        "dead_units": layers.dead_units,
        "update_ratios": layers.update_ratios,
    }.items():
        add(name, draw, comparison, first)
    add("depth", layers.depth_against_gradient, comparison)
    add("activations", functions, dict.fromkeys(run.choices.get("activation") for run in comparison.described.values()))
    add_runs(add, comparison, first)
    return found


def add_runs(add: Callable[..., None], comparison: Comparison, factor: str) -> None:
    """Weights and predictions of the run in the middle of each level's best setting."""
    if factor:
        chosen = {in_words(level): run for level, run in weights.representatives(comparison, factor).items()}
    else:
        finished = comparison.study.runs["status"].isin(record.FINISHED)
        chosen = {run: run for run in comparison.study.runs.index[finished]}
    shown = dict(list(chosen.items())[:MOST_RUNS])
    directories = comparison.study.runs["directory"].to_dict()
    where = {level: Path(directories[run]) for level, run in shown.items()}
    for level, directory in where.items():
        add(f"weights_{level}", weights.histograms, directory, comparison.study.summaries[shown[level]])
        add(f"weights_{level}_first_layer", weights.first_heat_map, directory)
        add(f"predictions_{level}", weights.predicted, directory, comparison.study.summaries[shown[level]])
    if len(where) > 1:
        add("predictions", weights.predicted_side_by_side, where)


def save(figure: Figure, path: Path, pdf: bool) -> None:
    """As PNG, and as PDF where asked for."""
    engine = figure.get_layout_engine()
    if engine is not None:  # laid out once, instead of in every one of the drawings that saving makes
        engine.execute(figure)
        figure.set_layout_engine("none")
    with replacing(path.with_name(f"{path.name}.png")) as temporary:
        figure.savefig(temporary, format="png", pil_kwargs={"compress_level": 3})
    if pdf:
        with replacing(path.with_name(f"{path.name}.pdf")) as temporary:
            figure.savefig(temporary, format="pdf")


@contextmanager
def drawing(drawings: Mapping[str, Drawing], folder: Path, pdf: bool) -> Iterator[list[Callable[[], Outcome]]]:
    """Draw into the folder; what is given, called one by one, waits for a figure and says what came of it.

    On Linux in a process a core, that work on while the caller does something else.
    """
    folder.mkdir(parents=True, exist_ok=True)
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1  # elsewhere forking is not safe
    if cores == 1 or len(drawings) < 4:
        yield [partial(_draw, name, draw, folder, pdf) for name, draw in drawings.items()]
        return
    _INHERITED.update(drawings)  # by forking: what draws cannot be sent to a process
    context = multiprocessing.get_context("fork")
    pool = ProcessPoolExecutor(min(cores, 8), context, _follow_parent)
    try:
        yield [pool.submit(_draw_inherited, name, folder, pdf).result for name in drawings]
    finally:
        pool.shutdown(cancel_futures=True)  # where something went wrong, what has not begun is not waited for
        _INHERITED.clear()


_INHERITED: dict[str, Drawing] = {}


def _follow_parent() -> None:
    """Leave Ctrl-C to the parent, and end when it does, however that is (PR_SET_PDEATHSIG, Linux)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _draw_inherited(name: str, folder: Path, pdf: bool) -> Outcome:
    return _draw(name, _INHERITED[name], folder, pdf)


def _draw(name: str, draw: Drawing, folder: Path, pdf: bool) -> Outcome:
    try:
        figure = draw()
    except RecordError as error:  # one run's file, which spoils no other figure
        return Outcome(name, False, str(error))
    if figure is not None:
        save(figure, folder / name, pdf)
    return Outcome(name, figure is not None)


def remove_others(folder: Path, drawn: Sequence[str]) -> None:
    """Remove figures that an earlier analysis drew and this one did not; they would say something else."""
    for path in [*folder.glob("*.png"), *folder.glob("*.pdf")]:
        if path.stem not in drawn and path.stem.startswith(KINDS):
            path.unlink()
