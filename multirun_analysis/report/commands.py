"""Commands that can be pasted: what a study is continued with."""

import fnmatch
import math
import re
import shlex
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.compare.settings import Setting
from multirun_analysis.records.described import ABSENT, CONTENT
from multirun_analysis.records.replicates import seed_effects
from paribus import record
from paribus.installation import name_commands

HYDRA = ("hydra.sweeper.", "hydra.searchpath=")
CONFIRM_SEEDS = 10
MOST_GRIDS = 6  # combinations in a command, the best ones
MOST_VALUES = 24  # in all of them: a longer command nobody reads


def overrides(comparison: Comparison) -> list[str]:
    """List what all runs of a study were made with, as typed: without the factors, the seeds and the study's name."""
    for summary in comparison.study.summaries.values():
        command = summary.get("command")
        if isinstance(command, str) and command.startswith(("python train.py", "paribus train")):
            typed = shlex.split(command)[2:]
            own = [f"seeds.{source}" for source in _find_swept(comparison)]
            kept = ("seed", "data.seed", "study", "confirm", "tuned", "sequential", "pause")
            varied = {*kept, *own, *comparison.factors}
            return [t for t in typed if t.lstrip("+").partition("=")[0] not in varied and not t.startswith(HYDRA)]
    return []


def study_name(comparison: Comparison) -> str | None:
    """The name of the study that all runs belong to; None where there is none."""
    names = {summary.get("study") for summary in comparison.study.summaries.values()}
    name = names.pop() if len(names) == 1 else None
    return name if isinstance(name, str) else None


def multirun(comparison: Comparison, *more: str, study: str | None = None) -> str:
    """Compose a command that makes more runs, in the comparison's study or another."""
    name = study or study_name(comparison)
    base = [text for text in overrides(comparison) if not _wins(text, more)]
    experiment = any(text.startswith("experiment=") for text in base)
    cleared = ["hydra.sweeper.params=null"] if experiment else []
    if experiment and not any(text.startswith("hydra.sweeper.grids=") for text in more):
        cleared.append("hydra.sweeper.grids=null")
    words = ["--multirun", *([f"study={name}"] if name else []), *base, *cleared, *more, *_launcher(comparison)]
    return name_commands("python train.py ") + " ".join(map(_quoted, words))


def _launcher(comparison: Comparison) -> list[str]:
    """Return how the study's last command launched its runs, as typed."""
    plan = _read_plan(comparison)
    typed = [] if plan is None else shlex.split(plan.command)
    return [text for text in typed if text.startswith(("hydra/launcher=", "hydra.launcher."))]


def _wins(text: str, more: Sequence[str]) -> bool:
    key = text.partition("=")[0]
    return any(other.partition("=")[0] == key for other in more)


def _quoted(word: str) -> str:
    return word if re.fullmatch(r"[\w.,=+/()-]*", word) and "(" not in word else shlex.quote(word)


def value(level: Hashable) -> str:
    """Write a level as an override has it: 0.01, relu, [64,32]."""
    if isinstance(level, tuple):
        return "[" + ",".join(map(value, level)) + "]"
    if isinstance(level, bool):
        return str(level).lower()
    return f"{level:g}" if isinstance(level, float) and float(f"{level:g}") == level else str(level)


@dataclass(frozen=True)
class Sweep:
    """The overrides of what was tried; `note` names the part, if they are not all."""

    words: list[str]
    note: str = ""


def sweep(comparison: Comparison, without: str | None = None, each: str | None = None) -> Sweep:
    """Write what was tried: levels, or, where not all are crossed, the best settings as grids.

    Args:
        without: a factor that is swept otherwise; settings that have no value of it are left out.
        each: a factor of each level of which the best setting has to be among them; those alone where it has few.
    """
    factors = [factor for factor in comparison.factors if factor not in (without, CONTENT)]
    mine = [s for s in comparison.tried if without not in comparison.factors or s.levels[str(without)] != ABSENT]
    mine = [s for s in mine if s.usable or not s.diverged] or mine
    tried = list(dict.fromkeys(tuple(s.levels[factor] for factor in factors) for s in mine))
    levels = {f: [x for x in dict.fromkeys(row[i] for row in tried) if x != ABSENT] for i, f in enumerate(factors)}
    if all(level != ABSENT for row in tried for level in row) and len(tried) == math.prod(map(len, levels.values())):
        return Sweep([f"{factor}={','.join(map(value, found))}" for factor, found in levels.items()])
    kept = tried[: max(1, min(MOST_GRIDS, MOST_VALUES // len(factors)))]
    if each in factors:
        kept = list({row[factors.index(each)]: row for row in reversed(tried)}.values())[::-1]
    note = f", the best {len(kept)} settings first" if len(kept) < len(tried) and each is None else ""
    return Sweep(_combinations([_grid(dict(zip(factors, row, strict=True))) for row in kept]), note)


def vary(comparison: Comparison, seeds: str) -> str:
    """Compose a command that varies the activation of runs that differ in nothing."""
    found = [run.choices["activation"] for run in comparison.described.values() if "activation" in run.choices]
    mine = found[0] if found else "relu"
    return multirun(comparison, f"activation={mine},{'tanh' if mine == 'relu' else 'relu'}", seeds)


def seeds(comparison: Comparison) -> list[str]:
    """Write the seeds of all runs as a sweep, and those of their own that sources of randomness have."""
    runs = comparison.described.values()
    of_sources = {f"seeds.{source}": [run.seeds.get(source) for run in runs] for source in _find_swept(comparison)}
    return [_write_sweep(key, values) for key, values in {"seed": [run.seed for run in runs], **of_sources}.items()]


def _find_swept(comparison: Comparison) -> list[str]:
    """Find the sources of randomness whose seeds vary on their own."""
    return [effect[0] for effect in seed_effects(comparison.described.values()) if len(effect) == 1]


def _write_sweep(key: str, values: Sequence[Hashable]) -> str:
    found = sorted({value for value in values if isinstance(value, int)})
    if len(found) > 5 and found == list(range(found[0], found[-1] + 1)):
        return f"{key}=range({found[0]},{found[-1] + 1})"
    return f"{key}={','.join(map(str, found))}"


def _grids(rows: Sequence[Mapping[str, str]]) -> str:
    listed = ", ".join("{" + ", ".join(f"{k}: {_plain(text)}" for k, text in row.items()) + "}" for row in rows)
    return f"hydra.sweeper.grids=[{listed}]"


def confirm(comparison: Comparison, settings: Sequence[Setting]) -> str:
    """Compose the command that trains settings again, on seeds that nothing was chosen by."""
    first = find_fresh_seed(comparison)
    fresh = f"seed=range({first},{first + CONFIRM_SEEDS})"
    return multirun(comparison, "confirm=true", *_combinations([_grid(s.levels) for s in settings]), fresh)


def find_fresh_seed(comparison: Comparison) -> int:
    """Find the first seed of a confirmation that no run of the study has."""
    return record.find_fresh_seed(run.seed for run in comparison.described.values() if isinstance(run.seed, int))


def _grid(levels: Mapping[str, Hashable]) -> dict[str, str]:
    return {key: value(level) for key, level in levels.items() if level != ABSENT and key != CONTENT}


def _combinations(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """Write combinations of values: what all have as it is, the rest as a sweep where that is one key, or as grids."""
    shared = {key: text for key, text in rows[0].items() if all(row.get(key) == text for row in rows)}
    swept = [key for key in {k: None for row in rows for k in row} if key not in shared]
    fixed = [f"{key}={text}" for key, text in shared.items()]
    if len(swept) <= 1 and all(key in row for row in rows for key in swept):
        return fixed + [f"{key}={','.join(dict.fromkeys(row[key] for row in rows))}" for key in swept]
    return [*fixed, _grids([{key: row[key] for key in swept if key in row} for row in rows])]


def _plain(text: str) -> str:
    return f"[{text}]" if text.startswith("[") else text


def again(comparison: Comparison, missing: Sequence[str] = ()) -> str | None:
    """Find the command that goes on with the study, in its plan; None where it has none that can be read.

    None as well where the plan, that of the last command, has none of the `missing` runs.
    """
    plan = _read_plan(comparison)
    if plan is None:
        return None
    planned = {Path(entry.path).name for entry in plan.runs}
    paths = [Path(str(comparison.study.runs.at[name, "directory"])) for name in missing]
    return plan.command if not (planned and paths) or any(path.name in planned for path in paths) else None


def _read_plan(comparison: Comparison) -> record.StudyPlan | None:
    for study in dict.fromkeys(Path(str(path)).parent for path in comparison.study.runs["directory"]):
        try:
            plan = record.read_study_plan(study)
        except record.RecordError:
            continue
        if plan is not None:
            return plan
    return None


def evaluate(comparison: Comparison, settings: Sequence[Setting]) -> str:
    """Compose the command that reads the test set of all seeds of these settings; of one where no pattern names all."""
    runs, words = comparison.study.runs, []
    for setting in settings:
        completed = [run for run in setting.runs if runs.at[run, "status"] == record.COMPLETED] or setting.runs
        paths = [str(path) for path in runs.loc[completed, "directory"]]
        words.append(_find_pattern(paths, [str(path) for path in runs["directory"]]) or _quoted("run=" + paths[0]))
    return name_commands("python evaluate.py ") + " ".join(words)


def _find_pattern(paths: Sequence[str], others: Sequence[str]) -> str | None:
    """Find the pattern of a shell that matches these paths and none of the others; None where there is none."""
    patterns = {re.sub(r"(?<=[,/])seed=\d+(?=,|$)", "seed=*", path) for path in paths}
    pattern = patterns.pop()
    plain = re.fullmatch(r"[\w.,=+/*-]+", pattern) and len(paths) > 1 and not patterns
    return pattern if plain and {*fnmatch.filter(others, pattern)} == {*paths} else None
