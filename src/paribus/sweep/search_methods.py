"""The methods of a search, the widening of ranges, and the confirmation."""

import logging
import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from omegaconf import DictConfig

from paribus import record
from paribus.config.compose import Composer
from paribus.errors import UserError
from paribus.sweep.rounds import Driver, Round, StartDriver
from paribus.sweep.scores import is_alike
from paribus.sweep.search import Level, Search, Steps, Trial
from paribus.sweep.search_optuna import ask_optuna, require_optuna
from paribus.sweep.space import WIDER
from paribus.sweep.until import Judge, add_seeds, check_until, read_looks

MOST_CONFIRMED = 12  # settings that the analysis compares with each other
log = logging.getLogger(__name__)


def start_search(sweep: Sequence[Sequence[str]], study: DictConfig, judge: Judge | None = None) -> StartDriver:
    """Return what starts the driver of the search that `study.tune` asks for; see `Search`.

    Args:
        sweep: the overrides of each run, before the search.
        study: the configuration with which the sweep was started.
        judge: of a confirmation whose seeds are added until it is decided; None: it has tune.confirm of them.
    """
    if study.tune.method == "optuna":
        require_optuna()

    def start(composer: Composer, directory: Path) -> Driver:
        if judge is not None:  # before the search: a mistake should not be found after it
            check_until(study, composer.compose(sweep[0]), judge)
        search = Search(sweep, study, composer, directory)
        return drive(search, None if judge is None else partial(confirm_until_decided, search, study, judge))

    return start


def drive(search: Search, confirm_by: Callable[[], Driver] | None) -> Driver:
    """Search every level, widen ranges, and confirm the best settings, by `confirm_by` where it is given."""
    tune = search.tune
    yield from {"sobol": try_points, "optuna": ask_optuna, "halving": halve}[tune["method"]](search)
    for number in range(tune["widen"]):
        yield from widen(search, number)
    if confirm_by is not None:
        yield from confirm_by()
    elif tune["confirm"]:
        yield from confirm(search)


def try_points(search: Search) -> Steps:
    """Train every level at the same Sobol points."""
    places = search.draw_places(0, search.tune["trials"])
    trials = search.add_trials([places] * len(search.levels))
    yield from search.train("search", trials, search.count_later())


def halve(search: Search) -> Steps:
    """Train all trials of a level for a few epochs, the best of them for `reduction` times as many, and so on.

    Successive halving (Jamieson & Talwalkar 2016). A run is paused at the end of a rung, and goes on from its last
    checkpoint; it is planned for all its epochs from the start, so its schedule is not cut short.
    """
    trials, reduction = search.tune["trials"], search.tune["reduction"]
    least = min(level.epochs for level in search.levels)
    if least < reduction:
        raise UserError(
            f"tune.method=halving needs runs of at least tune.reduction={reduction} epochs; these have {least}. Choose "
            "more trainer.max_epochs, or tune.method=sobol."
        )
    rungs = min(int(math.log(least, reduction) + 1e-9), int(math.log(trials, reduction) + 1e-9))
    alive = search.add_trials([search.draw_places(0, trials)] * len(search.levels))
    for rung in range(rungs + 1):
        share = reduction ** (rungs - rung)
        kept = max(2, trials // reduction ** (rung + 1))
        rest = 0 if rung == rungs else kept * len(search.seeds) * sum(level.epochs for level in search.levels)
        for epochs in sorted({level.epochs // share for level in search.levels}):
            mine = [(level, trial) for level, trial in alive if level.epochs // share == epochs]
            name = f"rung {rung + 1} of {rungs + 1}"
            yield from search.train(name, mine, rest + search.count_later(), None if rung == rungs else epochs)
        if rung < rungs:
            for level in search.levels:
                for trial in level.ranked[kept:]:
                    trial.dropped = True
            alive = [(level, trial) for level in search.levels for trial in level.ranked]


def find_edge(level: Level) -> tuple[int, bool] | None:
    """Find a dimension in which a level's best trial lies at an end; return its number, and whether at the high end.

    The ends are the lowest and the highest place tried. None: there is no such dimension on a log scale, or the key
    cannot have the values beyond.
    """
    for k, dimension in enumerate(level.dimensions if level.ranked else ()):
        if dimension is None or not dimension.log:
            continue
        best, places = level.ranked[0].place[k], [trial.place[k] for trial in level.trials]
        for at_high in (False, True):
            if best == (max if at_high else min)(places) and dimension.allows(_go_beyond(level, k, at_high, 1.0)):
                return k, at_high
    return None


def _go_beyond(level: Level, k: int, at_high: bool, place: float) -> float:
    """Return a place beyond the range of a dimension, and what was tried beyond it: at most WIDER of it."""
    places = [trial.place[k] for trial in level.trials]
    return max(1.0, *places) + WIDER * place if at_high else min(0.0, *places) - WIDER * place


def widen(search: Search, number: int) -> Steps:
    """Give every level further trials: beyond the end at which its best value lies, else within its ranges.

    Without any level at an end there is no such round.
    """
    edges = [find_edge(level) for level in search.levels]
    if not any(edges):
        return
    extra = search.count_extra()
    start = search.tune["trials"] + number * extra
    places = []
    for level, edge in zip(search.levels, edges, strict=True):
        points = search.draw_places(start, start + extra)
        if edge is not None:
            k, at_high = edge
            points = [(*p[:k], _go_beyond(level, k, at_high, p[k]), *p[k + 1 :]) for p in points]
        places.append(points)
    names = "; ".join(level.name for level, edge in zip(search.levels, edges, strict=True) if edge)
    yield from search.train(
        f"wider ranges ({names})", search.add_trials(places), search.count_later(widened=number + 1)
    )


def choose_confirmed(search: Search) -> list[tuple[Level, Trial]]:
    """Choose the best trial of each level, and its second where the two cannot be told apart; at most MOST_CONFIRMED.

    The best of a level comes before the second of any. Warn of levels without a usable trial.
    """
    first, second = [], []
    for level in (level for level in search.levels if not level.ranked):
        log.warning(
            "%s: no trial is usable, since most runs of each diverged or have no figure. None is confirmed. Give "
            "tune.space other ranges, in another study=NAME.",
            level.name,
        )
    for level in sorted((level for level in search.levels if level.ranked), key=lambda level: -level.ranked[0].mean):
        ranked = level.ranked
        first.append((level, ranked[0]))
        if len(ranked) > 1 and is_alike({i: trial.scores for i, trial in enumerate(ranked)}, 0, 1):
            second.append((level, ranked[1]))
    chosen = [*first, *second][:MOST_CONFIRMED]
    return [(own, trial) for level in search.levels for own, trial in chosen if own is level]


def list_fresh_seeds(search: Search, count: int) -> list[int]:
    """List seeds for the confirmation, beyond all that runs of the study have which are none themselves."""
    used = [int(text.partition("=")[2]) for text in search.seeds]
    for path in search.directory.glob(f"*/{record.SUMMARY}"):
        _, summary = record.read_status(path.parent)
        config = (summary or {}).get("config", {})
        if config.get("confirm") is not True and isinstance(config.get("seed"), int):
            used.append(config["seed"])
    first = record.find_fresh_seed(used)
    return list(range(first, first + count))


def confirm(search: Search) -> Steps:
    """Train the best settings of each level on fresh seeds, which the analysis then judges alone."""
    chosen, seeds = choose_confirmed(search), list_fresh_seeds(search, search.tune["confirm"])
    if not chosen:
        return
    overrides = [search.write_overrides(*one, f"seed={seed}", "confirm=true") for one in chosen for seed in seeds]
    yield Round(overrides, "confirmation")


def confirm_until_decided(search: Search, study: DictConfig, judge: Judge) -> Driver:
    """Train the best settings of each level on fresh seeds, which are added until the levels are decided."""
    settings = [search.write_overrides(*one, "confirm=true") for one in choose_confirmed(search)]
    if len(settings) < 2:
        log.warning("There are no two usable settings, so nothing is left to decide.")
        return
    seeds = list_fresh_seeds(search, read_looks(study)[-1])
    yield from add_seeds(settings, seeds, study, search.composer, search.directory, judge)
