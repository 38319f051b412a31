"""Find the factors of a set of runs, and the runs that agree in everything else. Never torch.

A factor is a group of choices (activation, optim, ...) or a value set beyond them (optim.lr) that differs between
runs. What a choice brings along by itself, such as the learning rate of an optimizer, belongs to the choice. The seed
is the replicate, never a factor.
"""

import math
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from paribus import record

# other choices say how a run is carried out
GROUPS = ("model", "data", "loss", "activation", "optim", "scheduler", "warmup", "averaging")
OFF = {"warmup": "none", "averaging": "none"}  # the options of groups that records of version 0.1 lack
CONTENT = "data content"
ABSENT = "-"  # the level of a value that a run's choices do not have
DEFAULT = "default"  # in place of a value that was not set: it comes with a choice
SPLIT = ", split "
# Values that follow from others, with the groups or values that they follow from; see conf/.
DERIVED = {
    "scheduler.max_epochs": ("trainer.max_epochs",),
    "scheduler.T_max": ("trainer.max_epochs",),
    "scheduler.max_lr": ("optim", "optim.lr"),
    "trainer.max_epochs": ("model",),
    "optim.lr": ("optim", "model"),
    "model.hidden": ("model.width", "model.depth"),
}


@dataclass(frozen=True)
class Described:
    """The choices and values of a run.

    Attributes:
        choices: option by group.
        given: values that were set beyond what the options bring, by dotted key.
        flat: every value of the experiment by dotted key, but the seed.
        seed: the run's.
        identity: the experiment's, seed included; None where it is not known.
        problem: why this is not known, where it is not.
        split: the seed of the data split; None: the run's seed.
        seeds: the seed of each source of randomness; {} where it is not known.
        own: the sources, other than the split, that have a seed of their own, in words; "" where all follow the seed.
        crossed: the labels of two random effects in place of seed and split; None: those two.
        confirms: whether the run belongs to a confirmation, on seeds by which nothing was chosen.
        tuned: the keys whose values a search has chosen (tune=).
        until: whether its seed was added in a look, so that it may be judged by the plan of its study only.
    """

    choices: dict[str, str] = field(default_factory=dict)
    given: dict[str, Hashable] = field(default_factory=dict)
    flat: dict[str, Hashable] = field(default_factory=dict)
    seed: Hashable = None
    identity: Hashable = None
    problem: str | None = None
    split: Hashable = None
    confirms: bool = False
    tuned: tuple[str, ...] = ()
    until: bool = False
    seeds: dict[str, Hashable] = field(default_factory=dict)
    own: str = ""
    crossed: tuple[Hashable, Hashable] | None = None

    @property
    def split_seed(self) -> Hashable:
        """The seed of the split."""
        return self.seed if self.split is None else self.split

    @property
    def replicate(self) -> tuple[Hashable, Hashable]:
        """The labels of two random effects: the seed, and the seed of the split."""
        return (self.seed, self.split_seed) if self.crossed is None else self.crossed

    @property
    def seed_in_words(self) -> str:
        """The seed, with those beside it that are other numbers: 42, split 1, order 2."""
        split = "" if self.split_seed == self.seed else f"{SPLIT}{self.split_seed}"
        return f"{self.seed}{split}" + (f", {self.own}" if self.own else "")

    def level(self, factor: str) -> Hashable:
        """The option or value that the run has of a factor."""
        if factor in GROUPS:
            return self.choices.get(factor, ABSENT)
        return self.flat.get(factor, ABSENT)


def describe(directory: Path, summary: Mapping[str, Any] | None) -> Described:
    """From a run's summary, or, where it has none that says so, from what Hydra composed."""
    found = summary or {}
    recorded = {key: found.get(key) for key in ("choices", "set", "config")}
    if isinstance(recorded["config"], Mapping):
        recorded |= {f"config.{part}": recorded["config"].get(part) for part in ("model", "data")}
    lacking = ", ".join(key for key, value in recorded.items() if not isinstance(value, Mapping))
    if not lacking:
        choices, given, config = found["choices"], found["set"], found["config"]
    elif found.get("status") in record.FINISHED:
        version = found.get("versions", {}).get("paribus", "unknown")
        return Described(problem=f"{record.SUMMARY} lacks {lacking}: it was made by a version ({version}) whose runs "
                         "cannot be compared. Make the run again.")  # fmt: skip
    else:
        choices, given, config = _composed(directory)
        if config is None:
            return Described(problem=f"{record.COMPOSITION} cannot be read")
    named = (config.get("model") or {}).get("loss")
    if "loss" not in choices and isinstance(named, str):
        choices = {**choices, "loss": named}  # as version 0.1 recorded it
    experimental = record.select_experimental(record.use_current_targets(config))
    experimental.pop("metrics", None)  # what else is measured changes no result
    flat = {key: _hashable(value) for key, value in record.flatten(experimental).items()}
    set_values = {key: _hashable(value) for key, value in given.items() if key in flat}
    sha = found.get("data", {}).get("sha256")
    if isinstance(sha, str):
        flat[CONTENT] = sha[:8]
    # a value that was typed and is the default all the same was not set; where defaults differ, see with_unexplained
    rates, optim = config.get("default_lr"), choices.get("optim")
    rate = rates.get(optim) if isinstance(rates, Mapping) else None
    for key, default in {"optim.lr": rate, "trainer.max_epochs": config.get("default_epochs")}.items():
        if default is not None and set_values.get(key) == default:
            del set_values[key]
    for key in ("seed", "data.seed", *(f"seeds.{source}" for source in record.SOURCES)):
        set_values.pop(key, None)
    seed, split = flat.pop("seed", None), flat.pop("data.seed", None)
    flat = {key: value for key, value in flat.items() if key.partition(".")[0] != "seeds"}
    seeds = record.resolve_seeds(config)
    followed = record.resolve_seeds({**config, "seeds": None})
    own = ", ".join(f"{name} {seeds[name]}" for name in record.SOURCES[1:] if seeds[name] != followed[name])
    if seeds["split"] != followed["split"]:
        split = seeds["split"]
    known = {group: choices[group] for group in GROUPS if group in choices}
    known = {**(OFF if known else {}), **known}
    confirms, tuned = config.get("confirm") is True, tuple(map(str, config.get("tuned") or ()))
    until, identity = config.get("sequential") is True, record.identify(config)
    return Described(known, set_values, flat, seed, identity, None, split, confirms, tuned, until, {**seeds}, own)


def _composed(directory: Path) -> tuple[dict[str, str], dict[str, Any], dict[str, Any] | None]:
    """Choices and configuration of a run that has not ended, or failed before it knew them."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        config = OmegaConf.to_container(
            OmegaConf.create(record.read_yaml(directory / record.COMPOSITION)), resolve=True
        )
        stored = OmegaConf.to_container(
            OmegaConf.create(record.read_yaml(directory / ".hydra" / "hydra.yaml")), resolve=False
        )
        assert isinstance(config, dict) and isinstance(stored, dict)
        chosen = stored["hydra"]["runtime"]["choices"]
        typed = stored["hydra"]["overrides"]["task"]
        plain = {str(key): value for key, value in config.items()}
        _ = plain["data"], plain["model"]
    except (OSError, record.RecordError, OmegaConfBaseException, AssertionError, KeyError, TypeError):
        return {}, {}, None
    flat = record.flatten(plain)
    keys = [text.lstrip("+").partition("=")[0] for text in typed]
    return {g: o for g, o in chosen.items() if isinstance(o, str)}, {k: flat[k] for k in keys if k in flat}, plain


def _hashable(value: Any) -> Hashable:
    if isinstance(value, list | tuple):
        return tuple(_hashable(v) for v in value)
    if isinstance(value, float) and math.isnan(value):
        return "nan"  # which unlike NaN equals itself
    if value is None:
        return "null"  # as one types it: a level like others, where None would mean that there is none
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
    """Count as set, for every run, what differs between runs for no reason that their choices and set values give.

    That is a default that has changed, an option of one's own callbacks, or data whose content has changed.
    """
    known = [run for run in runs.values() if run.choices]
    varied = factors_of(known)
    alike: dict[Hashable, Described] = {}
    keys: set[str] = set()
    for run in known:
        setting = (tuple(sorted(run.choices.items())), frozenset(run.given.items()))
        keys |= _differing(alike.setdefault(setting, run), run)
    # and between settings: of each two that differ in one factor alone
    for factor in varied:
        others = [other for other in varied if other != factor]
        nearest: dict[Hashable, Described] = {}
        for run in alike.values():
            context = tuple(run.level(o) if o in GROUPS or o in run.given else DEFAULT for o in others)
            first = nearest.setdefault(context, run)
            keys |= {key for key in _differing(first, run) if not _explained(key, factor)}
    extra = {name: {key: run.flat[key] for key in keys if key in run.flat} for name, run in runs.items()}
    return {name: replace(run, given=run.given | extra[name]) for name, run in runs.items()} if keys else dict(runs)


def _differing(a: Described, b: Described) -> set[str]:
    """The keys in whose values two runs differ. Nothing is known of data that a run did not come to read."""
    if a.flat == b.flat:
        return set()
    keys = {key for key in a.flat.keys() | b.flat.keys() if a.flat.get(key) != b.flat.get(key)}
    return keys if CONTENT in a.flat and CONTENT in b.flat else keys - {CONTENT}


def _explained(key: str, factor: str) -> bool:
    """Whether a value may differ because the factor does."""
    if key == CONTENT:
        return factor == "data" or factor.startswith("data.")
    if key == factor or key.startswith(f"{factor}.") or (factor == "model" and key.startswith(("data.", "loss."))):
        return True  # a model brings its data and its loss
    return any(source == factor or _explained(source, factor) for source in DERIVED.get(key, ()))


def factors_of(runs: Iterable[Described]) -> list[str]:
    """List the factors in which runs differ: groups of choices first, then set values by name."""
    known = [run for run in runs if run.choices]
    groups = [group for group in GROUPS if len({run.choices.get(group) for run in known}) > 1]
    keys = sorted({key for run in known for key in run.given})
    return groups + [key for key in keys if len({run.level(key) for run in known}) > 1]


def tuned_keys(runs: Iterable[Described]) -> set[str]:
    """List the keys whose values a search has chosen in any run: nuisances of what is compared, no factors."""
    return {key for run in runs for key in run.tuned}


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
            return f"[{in_words(level[0])}] * {len(level)}"
        return "[" + ", ".join(in_words(v) for v in level) + "]"
    if level is None:
        return "none"
    if isinstance(level, float):
        return f"{level:g}" if float(f"{level:g}") == level else repr(level)
    return str(level)


def is_number(level: Hashable) -> bool:
    """Say whether a level is a number, which truth values are not."""
    return isinstance(level, int | float) and not isinstance(level, bool)


def order(levels: Iterable[Hashable]) -> list[Hashable]:
    """Order numbers by size, then everything else by name."""

    def key(level: Hashable) -> tuple[int, float, str]:
        return (0, float(level), "") if is_number(level) else (1, 0.0, in_words(level))  # type: ignore[arg-type]

    return sorted(set(levels), key=key)
