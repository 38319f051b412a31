"""Add seeds to a study in looks that are fixed beforehand, until its levels are decided."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from paribus import record
from paribus.config.compose import Composer, to_resolved
from paribus.config.ranges import check_ranges
from paribus.errors import UserError
from paribus.sweep.plan import find_known_runs, name_run
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
    if any(a >= b for a, b in zip(looks, looks[1:], strict=False)):
        raise UserError(f"until.looks is {looks}; each look must have more seeds than the one before.")
    if most < looks[0]:
        raise UserError(f"until.max_seeds is {most}, and the first look has {looks[0]} seeds. Give at least as many.")
    return (*(seeds for seeds in looks if seeds < most), most)


def continue_seeds(given: Sequence[int], count: int) -> list[int]:
    """List `count` seeds: those given, then those that follow the largest; 1, 2, 3, ... where none is given."""
    if len(given) > count:
        raise UserError(
            f"seed has {len(given)} values, and until.max_seeds is {count}. Give fewer, or raise the latter."
        )
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
    named = {name_run(setting, composer, str(study.study)): list(setting) for setting in settings}
    if len(named) < 2:
        raise UserError("until=decided compares settings, and this study has one. Give a choice several values.")
    configs = {name: composer.compose(setting) for name, setting in named.items()}
    margin = None if study.until.margin is None else str(study.until.margin)
    if margin is not None:
        judge.check_margin(margin, to_resolved(next(iter(configs.values()))))
    looks = read_looks(study)
    confirms = next(iter(configs.values())).confirm is True
    mine = record.UntilPlan(tuple(seeds), looks, judge.find_factor(looks), margin, confirms, tuple(sorted(named)))
    plan = begin_plan(directory, mine, bool(study.dry_run))
    epochs = {name: int(config.trainer.max_epochs) for name, config in configs.items()}
    if study.dry_run:
        log.info("At most %d runs: %d settings with %d seeds each, %s epochs in all.", len(named) * looks[-1], len(named),
                 looks[-1], f"{sum(epochs.values()) * looks[-1]:,}")  # fmt: skip
    before, on = 0, list(named)
    for number, now in enumerate(looks):
        overrides = [[*named[name], "sequential=true", f"seed={seed}"] for name in on for seed in seeds[before:now]]
        later = sum(epochs[name] for name in on) * (looks[-1] - now)
        lines = describe_look(plan, number)
        runs = yield Round(overrides, f"look {number + 1} of {len(looks)}, {now} seeds", later, lambda _, x=lines: x)
        owners = {run.job.directory: name for run, name in zip(runs, _repeat(on, now - before), strict=True)}
        known = {**known, **owners} if number else owners
        if number == len(plan.taken):
            look = record.TakenLook(now, "", (), ())
            found = judge.judge_look(directory, plan.take(look))
            going = {known[path] for path in found.going_on if path in known}
            stopped = tuple(name for name in on if name not in going)
            plan = plan.take(record.TakenLook(now, found.metric, tuple(found.undecided), stopped))
            record.write_plan(directory, plan)
        on = [name for name in on if name not in plan.taken[number].stopped]
        log.info("%s", "\n".join(describe_look(plan, number + 1)))
        before = now
        if not on:
            return


def begin_plan(directory: Path, mine: record.UntilPlan, dry_run: bool) -> record.UntilPlan:
    """Return the plan that is in the study's directory, or write this one there, unless in a dry run.

    Raises UserError where that is another plan, or where there are runs already whose number of seeds was fixed.
    """
    known = record.read_plan(directory)
    if known is None:
        for path in find_known_runs(directory).values():
            _, summary = record.read_status(path)
            if bool(((summary or {}).get("config") or {}).get("confirm")) == mine.confirm:
                raise UserError(
                    f"{directory} has runs without until=decided, such as {path.name}: whoever has seen them may have "
                    "stopped where it pleased. Choose another study=NAME."
                )
        if not dry_run:
            directory.mkdir(parents=True, exist_ok=True)
            record.write_plan(directory, mine)
        return mine
    differing = list(_list_differences(known, mine))
    if differing:
        raise UserError(
            f"{directory} was begun with other looks: {'; '.join(differing)}. They were fixed before its first run: "
            "give the same ones, or choose another study=NAME."
        )
    return known


def _list_differences(known: record.UntilPlan, mine: record.UntilPlan) -> Iterator[str]:
    for name in ("looks", "seeds", "margin", "confirm"):
        was, now = getattr(known, name), getattr(mine, name)
        if was != now:
            shown = [str(list(value) if isinstance(value, tuple) else value) for value in (was, now)]
            yield (
                f"{name} were {shown[0]}, are now {shown[1]}"
                if name in ("looks", "seeds")
                else (f"{name} was {shown[0]}, is now {shown[1]}")
            )
    for what, names in (("new", set(mine.settings) - set(known.settings)),
                        ("missing", set(known.settings) - set(mine.settings))):  # fmt: skip
        if names:
            yield f"{what} settings: {', '.join(sorted(names)[:3])}{', ...' if len(names) > 3 else ''}"


def describe_look(plan: record.UntilPlan, number: int) -> list[str]:
    """State what the looks up to `number`, counted from 1, have left undecided, and how many settings go on."""
    if number == 0:
        return []
    look = plan.taken[number - 1]
    stopped = {name for taken in plan.taken[:number] for name in taken.stopped}
    going = len(plan.settings) - len(stopped)
    more = f" and {len(look.undecided) - MOST_NAMED} more" if len(look.undecided) > MOST_NAMED else ""
    pairs = f"undecided: {', '.join(look.undecided[:MOST_NAMED])}{more}" if look.undecided else "all is decided"
    last = number == len(plan.looks)
    then = "" if not look.undecided else "; all seeds are there" if last else f"; {going} settings go on"
    return [f"Look {number} of {len(plan.looks)}, {look.seeds} seeds, by {look.metric}: {pairs}{then}."]


def _is_seed(override: str) -> bool:
    return override.lstrip("+").startswith("seed=")


def _repeat(names: Sequence[str], times: int) -> list[str]:
    return [name for name in names for _ in range(times)]
