"""Search the values of each level of a study on equal budgets, and confirm the best ones on fresh seeds."""

import logging
import math
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf
from scipy.stats import qmc

from paribus import record
from paribus.config.compose import Composer
from paribus.config.ranges import check_ranges
from paribus.errors import UserError, unknown_name
from paribus.sweep.expand import format_value
from paribus.sweep.plan import PlannedRun
from paribus.sweep.rounds import Round
from paribus.sweep.scores import average, score_runs
from paribus.sweep.space import Dimension, read_space

log = logging.getLogger(__name__)
EXTRA_SHARE = 1 / 4  # of the trials, which a level gets anew where ranges are widened
LATER = ("confirm", "allow_failed")  # settings that may change while a study is searched
REMEDY = (
    "The search waits for its failed runs, which the same command tries again. If they cannot be trained at all, add "
    "tune.allow_failed=true: they then count as runs that diverged."
)
FILE = "search.json"  # in a study's directory: the settings with which it is searched
Steps = Generator[Round, list[PlannedRun], None]  # a part of a driver


@dataclass
class Trial:
    """A setting that a level tries.

    Attributes:
        place: its place in the search space, a number for each dimension.
        overrides: the values that it stands for.
        scores: by seed; more is better; empty before it is trained.
        dropped: whether the search left it behind, after fewer epochs than others: no candidate.
    """

    place: tuple[float, ...]
    overrides: tuple[str, ...]
    scores: list[float] = field(default_factory=list)
    dropped: bool = False

    @property
    def mean(self) -> float:
        return average(self.scores)


@dataclass
class Level:
    """A combination of the swept choices, and what was tried for it.

    Attributes:
        overrides: its overrides, without the seed.
        epochs: planned epochs of a run.
        dimensions: those of the search space that it has, each at its defaults; None for one that it has not.
    """

    overrides: tuple[str, ...]
    name: str
    epochs: int
    dimensions: list[Dimension | None]
    trials: list[Trial] = field(default_factory=list)

    @property
    def ranked(self) -> list[Trial]:
        """The candidates with a usable figure, best first."""
        usable = (trial for trial in self.trials if not trial.dropped and trial.mean > -math.inf)
        return sorted(usable, key=lambda trial: -trial.mean)


class Search:
    """A search of every level of a study, with the same places in the search space for each.

    Args:
        sweep: the overrides of each run, before the search: every level with every seed.
        study: the configuration with which the sweep was started; its node `tune` says what is searched.

    Raises UserError for settings that are no search, and for a study that was searched with others.
    """

    def __init__(self, sweep: Sequence[Sequence[str]], study: DictConfig, composer: Composer, directory: Path):
        tune: Any = OmegaConf.to_container(study.tune, resolve=True)
        check_ranges({"tune": {key: value for key, value in tune.items() if key != "space"}})
        for key in (key for key, value in tune.items() if value is None):
            raise UserError(f"tune.{key} is null. Leave it out, or give it a value (conf/tune/none.yaml).")
        self.tune: dict[str, Any] = tune
        self.composer = composer
        self.directory = directory
        self.dry_run = bool(study.dry_run)
        self.space = read_space(tune["space"], tune["trials"])
        self.metrics: list[str] = []  # that were asked for; none: the default
        self.levels, self.seeds = self._split(sweep)
        for k, dimension in enumerate(self.space):
            if not self.is_dependent(dimension) and all(level.dimensions[k] is None for level in self.levels):
                raise UserError(self._explain_missing(dimension.key))
        self.check_same_settings()

    def _split(self, sweep: Sequence[Sequence[str]]) -> tuple[list[Level], list[str]]:
        """Split a sweep into levels and the seeds that each of them has."""
        tuned = {dimension.key for dimension in self.space}
        seeds: dict[tuple[str, ...], list[str]] = {}
        for overrides in sweep:
            keys = [_get_key(text) for text in overrides]
            for key in keys:
                if key in tuned:
                    raise UserError(f"{key} is searched by tune.space and swept as well. Leave one of them out.")
                if key in ("tuned", "confirm", "pause"):
                    raise UserError(f"{key} is set by the search. Leave it out.")
            kept = [key not in ("seed", "tune") and not key.startswith("tune.") for key in keys]
            own = tuple(text for text, keeps in zip(overrides, kept, strict=True) if keeps)
            seed = [text for text, key in zip(overrides, keys, strict=True) if key == "seed"]
            seeds.setdefault(own, []).extend(seed)
        others = {text for own in seeds for text in own if _get_key(text) == "data.seed" or text.startswith("seeds.")}
        if len(others) > len({_get_key(text) for text in others}):
            raise UserError("A search takes its replicates from seed alone. Give seeds.* and data.seed one value each.")
        first = list(dict.fromkeys(next(iter(seeds.values())))) or ["seed=42"]
        shared = set.intersection(*(set(own) for own in seeds)) if len(seeds) > 1 else set()
        levels = []
        for own in seeds:
            name = " ".join(text for text in own if text not in shared and not text.startswith("study=")) or "all runs"
            config = self.composer.compose(own)
            self.metrics = sorted({*self.metrics, *([] if config.metric is None else [str(config.metric)])})
            dimensions = [self._place_dimension(config, d) for d in self.space]
            levels.append(Level(own, name, int(config.trainer.max_epochs), dimensions))
        return levels, first

    def _place_dimension(self, config: DictConfig, dimension: Dimension) -> Dimension | None:
        """Return the dimension near the default that a configuration has; None where it has no such key."""
        if self.composer.is_group(dimension.key):
            return dimension
        if not _has_key(config, dimension.key):
            return None
        return dimension.near(OmegaConf.select(config, dimension.key))

    def is_dependent(self, dimension: Dimension) -> bool:
        """Return whether a key belongs to a group that is searched too, so that only some trials have it."""
        return any(dimension.key.startswith(f"{other.key}.") for other in self.space)

    def _explain_missing(self, key: str) -> str:
        node = OmegaConf.to_container(self.composer.compose(self.levels[0].overrides), resolve=False)
        assert isinstance(node, dict)
        flat = record.flatten({str(name): value for name, value in node.items() if name not in ("hydra", "tune")})
        return str(unknown_name(key, "the configuration of any level (tune.space)", flat))

    def check_same_settings(self) -> None:
        """Raise UserError where the study was searched with other settings; else note these, unless in a dry run."""
        mine = {**{key: value for key, value in self.tune.items() if key not in LATER}, "seeds": self.seeds}
        if self.metrics:
            mine["metric"] = self.metrics
        path = self.directory / FILE
        if path.exists():
            import json

            try:
                before = json.loads(record.read_text(path))
                if not isinstance(before, dict):
                    raise ValueError("it holds no settings")
            except ValueError as error:
                raise UserError(f"{path} is damaged ({error}). Remove it, or choose study=NAME.") from None
            differing = [key for key in {**before, **mine} if before.get(key) != mine.get(key)]
            if differing:
                shown = ", ".join(f"{key} was {before.get(key)}, is now {mine.get(key)}" for key in differing)
                raise UserError(
                    f"{self.directory} was searched with other settings: {shown}. Choose another study=NAME, or the "
                    "same settings."
                )
        elif not self.dry_run:
            self.directory.mkdir(parents=True, exist_ok=True)
            record.write_json(path, mine)

    def draw_places(self, first: int, last: int) -> list[tuple[float, ...]]:
        """Return the points first to last - 1 of the scrambled Sobol sequence over the search space."""
        points = qmc.Sobol(len(self.space), rng=self.tune["seed"]).random_base2(max(1, (last - 1).bit_length()))
        return [tuple(map(float, point)) for point in points[first:last]]

    def make_trial(self, level: Level, place: Sequence[float]) -> Trial:
        """Make the trial of a level at a place, without keys that the chosen option of a searched group has not."""
        groups = {d.key: d.pick(x) for d, x in zip(self.space, place, strict=True) if self.composer.is_group(d.key)}
        overrides = [f"{key}={format_value(value)}" for key, value in groups.items()]
        dimensions: Iterable[Dimension | None] = level.dimensions
        if groups:
            config = self.composer.compose([*level.overrides, *overrides])
            dimensions = [self._place_dimension(config, dimension) for dimension in self.space]
        for dimension, x in zip(dimensions, place, strict=True):
            if dimension is not None and dimension.key not in groups:
                overrides.append(f"{dimension.key}={format_value(dimension.pick(x))}")
        return Trial(tuple(place), tuple(overrides))

    def write_overrides(self, level: Level, trial: Trial, seed: str, *more: str) -> list[str]:
        """Write the overrides of a run of a trial."""
        keys = ",".join(_get_key(text) for text in trial.overrides)
        return [*level.overrides, *trial.overrides, f"tuned=[{keys}]", seed, *more]

    def count_extra(self) -> int:
        """Count the trials that a level gets anew where ranges are widened."""
        return max(2, math.ceil(EXTRA_SHARE * int(self.tune["trials"])))

    def count_later(self, widened: int = 0) -> int:
        """Count the epochs that `widened` and later rounds of wider ranges, and the confirmation, train at most."""
        epochs = sum(level.epochs for level in self.levels)
        wider = (self.tune["widen"] - widened) * self.count_extra() * len(self.seeds) * epochs
        return int(wider + 2 * self.tune["confirm"] * epochs)

    def add_trials(self, places: Sequence[Sequence[Sequence[float]]]) -> list[tuple[Level, Trial]]:
        """Add trials to levels, at the places of each; return those that the level has not tried yet."""
        added = []
        for level, some in zip(self.levels, places, strict=True):
            tried = {trial.overrides for trial in level.trials}
            for place in some:
                trial = self.make_trial(level, place)
                if trial.overrides not in tried:
                    tried.add(trial.overrides)
                    level.trials.append(trial)
                    added.append((level, trial))
        return added

    def train(self, name: str, trials: Sequence[tuple[Level, Trial]], later: int, epochs: int | None = None) -> Steps:
        """Train trials with every seed as one round, up to the epoch `epochs` or to their end, and score them.

        `later`: the number of epochs that rounds after this one train at most.
        """
        more = () if epochs is None else (f"pause={epochs}",)
        overrides = [self.write_overrides(*trial, seed, *more) for trial in trials for seed in self.seeds]
        owners = [trial for trial in trials for _ in self.seeds]

        def describe(done: Sequence[PlannedRun]) -> list[str]:
            return self.describe(done, trials, more)

        runs = yield Round(overrides, name, later, describe, self.tune["allow_failed"], REMEDY)
        for level in self.levels:
            mine = [(t, run.job.directory) for (own, t), run in zip(owners, runs, strict=True) if own is level]
            scores = score_runs([path for _, path in mine], epochs) if mine else {}
            for trial in {id(t): t for t, _ in mine}.values():
                trial.scores = [scores[path] for t, path in mine if t is trial]
        if chosen := self._describe_chosen(runs):
            log.info("\n".join(chosen))

    def _describe_chosen(self, done: Sequence[PlannedRun]) -> list[str]:
        """State the best trial of each level, by the scores by which it is chosen."""
        sign = 1 if any(is_higher_better(run) for run in done) else -1
        best = [(level, level.ranked[0]) for level in self.levels if level.ranked]
        return [
            f"{level.name}: {sign * trial.mean:.4g} at {' '.join(trial.overrides)} ({len(level.trials)} trials)"
            for level, trial in best
        ]

    def describe(
        self, done: Sequence[PlannedRun], trials: Sequence[tuple[Level, Trial]], more: Sequence[str]
    ) -> list[str]:
        """State the best trial so far of each level, by the means of the best metric of its finished runs."""
        by_overrides = {overrides: run for run in done for overrides in run.composed_from}
        lines = []
        for level in self.levels:
            found = []
            for trial in (t for own, t in trials if own is level):
                runs = [by_overrides.get(tuple(self.write_overrides(level, trial, s, *more))) for s in self.seeds]
                values = [run.best for run in runs if run is not None and run.finished and run.best is not None]
                if len(values) == len(runs):
                    found.append((float(np.mean(values)), trial, next(run for run in runs if run is not None)))
            if found:
                sign = 1 if is_higher_better(found[0][2]) else -1
                value, trial, _ = max(found, key=lambda one: sign * one[0])
                ended = f"{len(found)} trials ended, by best epochs"
                lines.append(f"{level.name}: {value:.4g} at {' '.join(trial.overrides)} ({ended})")
        return lines


def is_higher_better(run: PlannedRun) -> bool:
    """Return whether more of the best metric of a run is better."""
    summary = run.summary or {}
    if "best_metric" in summary.get("statistics", {}):
        return summary.get("metric", {}).get("direction") == "higher"
    return "best_val_acc" in summary.get("statistics", {})


def _get_key(override: str) -> str:
    return override.lstrip("+~").partition("=")[0]


def _has_key(config: DictConfig, key: str) -> bool:
    """Return whether a configuration has a key, whatever its value."""
    node: Any = config
    for part in key.split("."):
        if not OmegaConf.is_dict(node) or part not in dict(node.items_ex(resolve=False)):
            return False
        node = dict(node.items_ex(resolve=False))[part]
    return True
