"""Add seeds to a study in looks that are fixed beforehand, until its levels are decided."""

import itertools
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from paribus import record
from paribus.config.compose import Composer, to_resolved
from paribus.config.ranges import check_ranges
from paribus.errors import UserError
from paribus.sweep.jobs import name_run
from paribus.sweep.plan import PlannedRun, find_known_runs
from paribus.sweep.rounds import Driver, Round, StartDriver

MOST_NAMED = 6  # undecided pairs in a line
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Judge:
    """The rules of comparison, which lie outside of this package.

    Attributes:
        judge_look: judges the study in a directory at the last look of its plan.
        find_factor: finds the factor of the bounds of these looks; see UntilPlan.factor.
        check_margin: raises UserError for a margin that does not fit the metric of a configuration.
    """

    judge_look: Callable[[Path, record.UntilPlan], record.Judgement]
    find_factor: Callable[[tuple[int, ...]], float]
    check_margin: Callable[[str, Mapping[str, Any]], None]


def start_until(sweep: Sequence[Sequence[str]], study: DictConfig, judge: Judge) -> StartDriver:
    """Return what starts the driver of a study that adds seeds until it is decided; see `add_seeds`.

    Args:
        sweep: the overrides of each run; seeds in it are the first that are added.
        study: the configuration with which the sweep was started; its node `until` says when there are looks.
    """
    looks = read_looks(study)

    def start(composer: Composer, directory: Path) -> Driver:
        given = {text.partition("=")[2]: text for overrides in sweep for text in overrides if _is_seed(text)}
        numbers = [composer.parse(text).value() for text in given.values()]
        seeds = continue_seeds([number for number in numbers if isinstance(number, int)], looks[-1])
        settings = [[text for text in overrides if not _is_seed(text)] for overrides in sweep]
        return add_seeds(settings, seeds, study, composer, directory, judge)

    return start


def read_looks(study: DictConfig) -> tuple[int, ...]:
    """Read how many seeds there are at each look. Raises UserError where `study.until` gives no increasing numbers."""
    until: Any = OmegaConf.to_container(study.until, resolve=True)
    check_ranges({"until": {key: value for key, value in until.items() if key != "margin"}})
    looks, most = until["looks"], until["max_seeds"]
    if most is None:
        raise UserError("until.max_seeds is null; it must be a whole number: the seeds of the last look.")
    if any(a >= b for a, b in itertools.pairwise(looks)):
        raise UserError(f"until.looks is {looks}; each look must have more seeds than the one before.")
    if most < looks[0]:
        raise UserError(f"until.max_seeds is {most}, and the first look has {looks[0]} seeds. Give at least as many.")
    return (*(seeds for seeds in looks if seeds < most), most)


def check_until(study: DictConfig, config: DictConfig, judge: Judge) -> None:
    """Raise UserError for looks that are none, and for a margin that does not fit the metric of a run's `config`."""
    read_looks(study)
    if study.until.margin is not None:
        judge.check_margin(str(study.until.margin), to_resolved(config))


def continue_seeds(given: Sequence[int], count: int) -> list[int]:
    """List `count` seeds: those given, then those that follow the largest; 1, 2, 3, ... where none is given."""
    if len(given) > count:
        raise UserError(f"seed has {len(given)} values, and until.max_seeds is {count}. Give fewer, or raise it.")
    first = max(given, default=0) + 1
    return [*given, *range(first, first + count - len(given))]


def add_seeds(
    settings: Sequence[Sequence[str]],
    seeds: Sequence[int],
    study: DictConfig,
    composer: Composer,
    directory: Path,
    judge: Judge,
) -> Driver:
    """Train settings with more seeds at each look, until none of them goes on, or all seeds are there.

    The plan is written before the first run, and what each look found before the next one begins. A study that was
    killed goes on by what is written.

    Args:
        settings: the overrides of each setting, without its seed.
        seeds: all seeds, in the order in which they are added.

    Raises UserError for fewer than two settings, a margin that does not fit, a study begun with another plan, and a
    directory with runs whose number of seeds was fixed.
    """
    values: dict[str, set[str]] = {}
    for key, _, value in (text.lstrip("+").partition("=") for setting in settings for text in setting):
        values.setdefault(key, set()).add(value)
    if "pause" in values:
        raise UserError("pause=N leaves runs unfinished, and until=decided judges finished ones. Leave it out.")
    for key, several in values.items():
        if len(several) > 1 and (key in ("confirm", "data.seed") or key.startswith("seeds.")):
            raise UserError(f"{key} has several values; with until=decided, seed alone makes replicates. Give it one.")
    named = {_name(setting, composer, study): list(setting) for setting in settings}
    if len(named) < 2:
        raise UserError("until=decided compares settings, and this study has one. Give a choice several values.")
    configs = {name: composer.compose(setting) for name, setting in named.items()}
    check_until(study, next(iter(configs.values())), judge)
    looks, margin = read_looks(study), None if study.until.margin is None else str(study.until.margin)
    confirms = next(iter(configs.values())).confirm is True
    mine = record.UntilPlan(tuple(seeds), looks, judge.find_factor(looks), margin, confirms, tuple(sorted(named)))
    plan = begin_plan(directory, mine, bool(study.dry_run))
    epochs = {name: int(config.trainer.max_epochs) for name, config in configs.items()}
    if study.dry_run:
        most = f"At most {len(named) * looks[-1]} runs: {len(named)} settings with {looks[-1]} seeds each"
        log.info("%s, %s epochs in all.", most, f"{sum(epochs.values()) * looks[-1]:,}")
    owners: dict[Path, str] = {}
    on = list(named)
    for number, (before, now) in enumerate(itertools.pairwise((0, *looks))):
        new = [(name, seed) for name in on for seed in seeds[before:now]]
        overrides = [[*named[name], "sequential=true", f"seed={seed}"] for name, seed in new]
        later = sum(epochs[name] for name in on) * (looks[-1] - now)
        title = f"look {number + 1} of {len(looks)}, {now} seeds"
        runs = yield Round(overrides, title, later, partial(_describe, describe_look(plan, number)))
        owners |= {run.job.directory: name for run, (name, _) in zip(runs, new, strict=True)}
        if number == len(plan.taken):
            plan = take_look(plan, directory, owners, on, judge)
            if not study.dry_run:
                record.write_plan(directory, plan)
        log.info(describe_look(plan, number + 1))
        on = [name for name in on if name not in plan.taken[number].stopped]
        if not on:
            return


def take_look(
    plan: record.UntilPlan, directory: Path, owners: Mapping[Path, str], on: Sequence[str], judge: Judge
) -> record.UntilPlan:
    """Judge the study at its next look; return its plan with what that found.

    Raises UserError where the look before was by another metric, which would have been chosen after seeing that.
    """
    seeds = plan.looks[len(plan.taken)]
    found = judge.judge_look(directory, plan.take(record.TakenLook(seeds, "", (), ())))
    if plan.taken and plan.taken[-1].metric != found.metric:
        raise UserError(
            f"{directory} was judged by {plan.taken[-1].metric} at its last look, and would be by {found.metric} now. "
            "Give the same metric=, or choose another study=NAME."
        )
    going = {owners[path] for path in found.going_on if path in owners}
    stopped = tuple(name for name in on if name not in going)
    return plan.take(record.TakenLook(seeds, found.metric, tuple(found.undecided), stopped))


def _describe(text: str, runs: Sequence[PlannedRun]) -> list[str]:
    return [text] if text else []


def begin_plan(directory: Path, mine: record.UntilPlan, dry_run: bool) -> record.UntilPlan:
    """Return the plan that is in the study's directory, or write this one there, unless in a dry run.

    A plan of which no run was begun may be replaced. Raises UserError where runs were begun with another plan, or with
    a number of seeds that was fixed.
    """
    known, begun = record.read_plan(directory), find_begun(directory, mine.confirm)
    if begun is not None and known is None:
        if record.read_yaml(begun / record.COMPOSITION).get("sequential"):
            raise UserError(
                f"{directory} has runs of until=decided, such as {begun.name}, and no {record.UNTIL}, which says what "
                "was planned. Copy that file back, or choose another study=NAME."
            )
        raise UserError(
            f"{directory} has runs without until=decided, such as {begun.name}: whoever has seen them may have stopped "
            "where it pleased. Choose another study=NAME."
        )
    if begun is None or known is None:
        if not dry_run:
            directory.mkdir(parents=True, exist_ok=True)
            record.write_plan(directory, mine)
        return mine
    differing = list(_list_differences(known, mine))
    if differing:
        raise UserError(
            f"{directory} was begun by another plan: {'; '.join(differing)}. It was fixed before the first run: "
            "give the same values, or choose another study=NAME."
        )
    return known


def find_begun(directory: Path, confirms: bool) -> Path | None:
    """Find a run in a study's directory, of a confirmation or not; None where there is none."""
    for path, _ in find_known_runs(directory).values():
        config = record.read_yaml(path / record.COMPOSITION)
        if bool(config.get("confirm")) == confirms:
            return path
    return None


def _list_differences(known: record.UntilPlan, mine: record.UntilPlan) -> Iterator[str]:
    if known.looks != mine.looks:
        yield f"at {list(known.looks)} seeds, now {list(mine.looks)}"
    elif known.seeds != mine.seeds:
        yield f"seeds {known.seeds[0]} to {known.seeds[-1]}, now {mine.seeds[0]} to {mine.seeds[-1]}"
    if known.margin != mine.margin:
        yield f"margin {known.margin or 'none'}, now {mine.margin or 'none'}"
    new, missing = set(mine.settings) - set(known.settings), set(known.settings) - set(mine.settings)
    for what, names in (("new", new), ("missing", missing)):
        if names:
            yield f"{what} settings, now: {', '.join(sorted(names)[:3])}{', ...' if len(names) > 3 else ''}"


def describe_look(plan: record.UntilPlan, number: int) -> str:
    """State what a look, counted from 1, left undecided, and how many settings went on; nothing before the first."""
    if number == 0:
        return ""
    look = plan.taken[number - 1]
    stopped = {name for taken in plan.taken[:number] for name in taken.stopped}
    more = f" and {len(look.undecided) - MOST_NAMED} more" if len(look.undecided) > MOST_NAMED else ""
    pairs = f"undecided: {'; '.join(look.undecided[:MOST_NAMED])}{more}" if look.undecided else "all is decided"
    going = len(plan.settings) - len(stopped)
    then = "" if not look.undecided else "; all seeds are there" if number == len(plan.looks) else f"; {going} go on"
    return f"Look {number} of {len(plan.looks)}, {look.seeds} seeds, by {look.metric}: {pairs}{then}."


def _name(setting: Sequence[str], composer: Composer, study: DictConfig) -> str:
    """Name a setting by its overrides, without those that say on what it is trained."""
    return name_run([text for text in setting if not text.startswith("trainer=")], composer, str(study.study))


def _is_seed(override: str) -> bool:
    return override.lstrip("+").startswith("seed=")
