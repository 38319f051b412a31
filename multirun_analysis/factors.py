"""What was varied: the factors of a set of runs, and which runs agree in everything else. Never torch.

A factor is a group of choices (activation, optim, ...) or a value set beyond them (optim.lr) that differs between
runs. What a choice brings along by itself, such as the learning rate of an optimizer, belongs to the choice. The seed
is the replicate, never a factor.
"""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from paribus import record

GROUPS = ("model", "data", "activation", "optim", "scheduler")  # other choices say how a run is carried out
CONTENT = "data content"
ABSENT = "-"  # the level of a value that a run's choices do not have


@dataclass(frozen=True)
class Described:
    """What was tried in a run.

    Attributes:
        choices: option by group.
        given: values that were set beyond what the options bring, by dotted key.
        flat: every value of the experiment by dotted key, but the seed.
        replicate: the seed; with data.seed beside it where that was set.
        problem: why this cannot be told, where it cannot.
    """

    choices: dict[str, str] = field(default_factory=dict)
    given: dict[str, Hashable] = field(default_factory=dict)
    flat: dict[str, Hashable] = field(default_factory=dict)
    replicate: Hashable = None
    problem: str | None = None

    def level(self, factor: str) -> Hashable:
        """The option or value that the run has of a factor."""
        if factor in GROUPS:
            return self.choices.get(factor, ABSENT)
        return self.flat.get(factor, ABSENT)


def describe(directory: Path, summary: Mapping[str, Any] | None) -> Described:
    """From a run's summary, or, where it has none that says so, from what Hydra composed."""
    found = summary or {}
    if all(isinstance(found.get(key), Mapping) for key in ("choices", "set", "config")):
        choices, given, config = found["choices"], found["set"], found["config"]
    elif found.get("status") in record.FINISHED:
        version = (found.get("versions") or {}).get("paribus", "unknown")
        lacking = ", ".join(key for key in ("choices", "set", "config") if not isinstance(found.get(key), Mapping))
        return Described(problem=f"{record.SUMMARY} lacks {lacking}: it was made by a version ({version}) whose runs "
                         "cannot be compared. Make the run again.")  # fmt: skip
    else:
        choices, given, config = _composed(directory)
        if config is None:
            return Described(problem=f"{record.COMPOSITION} cannot be read")
    flat = {key: _hashable(value) for key, value in record.flatten(record.experimental(config)).items()}
    given = {key: _hashable(value) for key, value in given.items() if key in flat}
    sha = (found.get("data") or {}).get("sha256")
    if sha:
        flat[CONTENT] = sha[:8]
    # a value that was typed and is the default all the same was not set
    tables = {
        "optim.lr": (config.get("default_lr") or {}).get(choices.get("optim")),
        "trainer.max_epochs": config.get("default_epochs"),
    }
    given = {key: value for key, value in given.items() if tables.get(key) is None or tables[key] != value}
    split = given.pop("data.seed", None)
    given.pop("seed", None)
    seed = flat.pop("seed", None)
    flat.pop("data.seed", None)
    replicate = seed if split is None else f"{seed}, split {split}"
    return Described({group: choices[group] for group in GROUPS if group in choices}, given, flat, replicate)


def _composed(directory: Path) -> tuple[dict[str, str], dict[str, Any], dict[str, Any] | None]:
    """Choices and configuration of a run that has not ended, or failed before it knew them."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    try:
        config = OmegaConf.to_container(OmegaConf.load(directory / record.COMPOSITION), resolve=True)
        stored = OmegaConf.to_container(OmegaConf.load(directory / ".hydra" / "hydra.yaml"), resolve=False)
        assert isinstance(config, dict) and isinstance(stored, dict)
        chosen = stored["hydra"]["runtime"]["choices"]
        typed = stored["hydra"]["overrides"]["task"]
        plain = {str(key): value for key, value in config.items()}
        _ = plain["data"], plain["model"]
    except (OSError, YAMLError, OmegaConfBaseException, AssertionError, KeyError, TypeError):
        return {}, {}, None
    flat = record.flatten(plain)
    keys = [text.lstrip("+").partition("=")[0] for text in typed]
    return {g: o for g, o in chosen.items() if isinstance(o, str)}, {k: flat[k] for k in keys if k in flat}, plain


def _hashable(value: Any) -> Hashable:
    if isinstance(value, list | tuple):
        return tuple(_hashable(v) for v in value)
    return str(value) if isinstance(value, Mapping) else value


def one_architecture(runs: Mapping[str, Described]) -> dict[str, Described]:
    """Runs of which some say model.hidden and others model.width and model.depth: all say model.hidden."""
    derived = ("model.width", "model.depth")
    spelt = {tuple(key for key in derived if key in run.given) for run in runs.values() if run.choices}
    if len(spelt) < 2:
        return dict(runs)
    result = {}
    for name, run in runs.items():
        given = {key: value for key, value in run.given.items() if key not in derived}
        if len(given) < len(run.given):
            given["model.hidden"] = run.flat.get("model.hidden", ABSENT)
        flat = {key: value for key, value in run.flat.items() if key not in derived}
        result[name] = replace(run, given=given, flat=flat)
    return result


def with_unexplained(runs: Mapping[str, Described]) -> dict[str, Described]:
    """Count as set, for every run, what differs between runs of equal choices and equal set values.

    That is a default that has changed, an option of one's own callbacks, or data whose content has changed.
    """
    alike: dict[Hashable, list[Described]] = {}
    for run in runs.values():
        alike.setdefault((tuple(sorted(run.choices.items())), frozenset(run.given.items())), []).append(run)
    keys: set[str] = set()
    for group in alike.values():
        if len(group) > 1:
            first = group[0].flat
            for run in group[1:]:
                if run.flat != first:
                    keys |= {k for k in first.keys() | run.flat.keys() if first.get(k) != run.flat.get(k)}
        # what is missing for want of data says nothing
        if CONTENT in keys and len({run.flat.get(CONTENT) for r in alike.values() for run in r} - {None}) < 2:
            keys.discard(CONTENT)
    if not keys:
        return dict(runs)
    extra = {n: {k: run.flat[k] for k in keys if k in run.flat} for n, run in runs.items()}
    return {name: replace(run, given=run.given | extra[name]) for name, run in runs.items()}


def factors_of(runs: Iterable[Described]) -> list[str]:
    """What differs between the runs: groups of choices first, then set values by name."""
    known = [run for run in runs if run.choices]
    groups = [group for group in GROUPS if len({run.choices.get(group) for run in known}) > 1]
    keys = sorted({key for run in known for key in run.given})
    return groups + [key for key in keys if len({run.level(key) for run in known}) > 1]


def columns_of(described: Mapping[str, Described]) -> pd.DataFrame:
    """A column for each group of choices and for each value that was set in any run; by run."""
    keys = sorted({key for run in described.values() for key in run.given})
    frame = {
        name: {factor: _shown(run.level(factor)) if run.choices else None for factor in (*GROUPS, *keys)}
        for name, run in described.items()
    }
    return pd.DataFrame.from_dict(frame, orient="index")


def _shown(level: Hashable) -> Any:
    if level == ABSENT:
        return None
    return str(list(level)) if isinstance(level, tuple) else level


def in_words(level: Hashable) -> str:
    """A level as one writes it: [64, 32], 0.01, none."""
    if isinstance(level, tuple):
        if len(level) > 4 and len(set(level)) == 1:
            return f"{len(level)} x {in_words(level[0])}"
        return "[" + ", ".join(in_words(v) for v in level) + "]"
    if level is None:
        return "none"
    return f"{level:g}" if isinstance(level, float) else str(level)


def order(levels: Iterable[Hashable]) -> list[Hashable]:
    """Numbers by size, then everything else by name."""

    def key(level: Hashable) -> tuple[int, float, str]:
        number = isinstance(level, int | float) and not isinstance(level, bool)
        return (0, float(level), "") if number else (1, 0.0, in_words(level))  # type: ignore[arg-type]

    return sorted(set(levels), key=key)
