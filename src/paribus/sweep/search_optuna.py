"""Search by Optuna: its TPE suggests the places that each level tries, in rounds."""

import math
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paribus.errors import UserError
from paribus.sweep.search import Level, Search, Steps

if TYPE_CHECKING:
    import optuna

JOURNAL = "optuna.journal"  # in a study's directory
BATCHES = 4  # rounds in which the trials are trained; those of a round do not know of each other


def ask_optuna(search: Search) -> Steps:
    """Train every level where Optuna's TPE suggests, in rounds; the first one is at the same Sobol points for all.

    Each level has a study of its own in the journal. The objective is the median over the seeds.
    """
    trials, batch = search.tune["trials"], math.ceil(search.tune["trials"] / BATCHES)
    with tempfile.TemporaryDirectory() as scratch:
        path = search.directory / JOURNAL
        if search.dry_run:  # which leaves the study as it is
            copy = Path(scratch) / JOURNAL
            copy.write_bytes(path.read_bytes() if path.exists() else b"")
            path = copy
        studies = [open_study(level, path) for level in search.levels]
        for first in range(0, trials, batch):
            last = min(first + batch, trials)
            start = search.draw_places(0, last)
            pairs = list(zip(search.levels, studies, strict=True))
            places = [[ask(search, *pair, n) for n in range(first, last)] if first else start for pair in pairs]
            new = search.add_trials(places)
            later = (trials - last) * len(search.seeds) * sum(level.epochs for level in search.levels)
            yield from search.train(f"search, {last} of {trials} trials", new, later + search.count_later())
            for pair, some in zip(pairs, places, strict=True):
                tell(search, *pair, first, some)


def require_optuna() -> None:
    """Raise UserError where Optuna is not installed."""
    try:
        import optuna
    except ImportError:
        raise UserError(
            "tune.method=optuna needs Optuna: pip install 'paribus[tune]', or pip install optuna."
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def open_study(level: Level, path: Path) -> "optuna.Study":
    """Open the Optuna study of a level in the journal, or create it. Raises UserError for a damaged journal."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    name = " ".join(text for text in level.overrides if not text.startswith("study=")) or "all runs"
    try:
        written = path.read_bytes() if path.exists() else b""
        if written and not written.endswith(b"\n"):
            raise ValueError("its last line is cut off")
        storage = JournalStorage(JournalFileBackend(str(path)))
        return optuna.create_study(storage=storage, study_name=name, direction="maximize", load_if_exists=True)
    except (ValueError, KeyError, TypeError) as error:  # as after a full disk: half a line
        raise UserError(
            f"{path} is damaged ({type(error).__name__}: {error}). Remove it: the same command then goes on, with the "
            "same points."
        ) from error


def list_distributions(search: Search, level: Level) -> dict[str, Any]:
    """List Optuna's distributions of the dimensions that trials of a level can have: places, or numbers of choices."""
    import optuna

    return {
        dimension.key: optuna.distributions.CategoricalDistribution(list(range(len(dimension.choices))))
        if dimension.choices
        else optuna.distributions.FloatDistribution(0.0, 1.0)
        for dimension, mine in zip(search.space, level.dimensions, strict=True)
        if mine is not None or search.is_dependent(dimension)
    }


def list_asked(study: "optuna.Study", distributions: Mapping[str, Any]) -> list["optuna.trial.FrozenTrial"]:
    """List the trials of a study; one that a kill has cut short while it was asked for is marked as failed instead."""
    from optuna.trial import TrialState

    asked = []
    for trial in study.get_trials(deepcopy=False):
        if trial.params.keys() == distributions.keys() and trial.state != TrialState.FAIL:
            asked.append(trial)
        elif trial.state == TrialState.RUNNING:
            study.tell(trial.number, state=TrialState.FAIL)
    return asked


def ask(search: Search, level: Level, study: "optuna.Study", n: int) -> tuple[float, ...]:
    """Return the place of trial n of the study of a level; ask for it unless the journal has it.

    Each trial has a sampler with its own seed, so that what it suggests depends on the trials before it alone.
    """
    import optuna

    distributions = list_distributions(search, level)
    asked = list_asked(study, distributions)
    if n < len(asked):
        params = asked[n].params
    else:
        study.sampler = optuna.samplers.TPESampler(
            seed=search.tune["seed"] * 10_000 + n, n_startup_trials=1, constant_liar=True
        )
        params = study.ask(fixed_distributions=distributions).params
    return tuple(
        0.5  # the level has no such key
        if dimension.key not in params
        else (params[dimension.key] + 0.5) / len(dimension.choices)
        if dimension.choices
        else params[dimension.key]
        for dimension in search.space
    )


def tell(search: Search, level: Level, study: "optuna.Study", first: int, places: Sequence[Sequence[float]]) -> None:
    """Tell the study of a level the medians at places, those of trials `first` and following, unless it knows them.

    The first ones, which were not asked for, are added.
    """
    import optuna

    distributions = list_distributions(search, level)
    asked = list_asked(study, distributions)
    by_overrides = {trial.overrides: trial for trial in level.trials}
    for n, place in enumerate(places, first):
        value = statistics.median(by_overrides[search.make_trial(level, place).overrides].scores)
        if n < len(asked):
            study.tell(asked[n].number, value, skip_if_finished=True)
            continue
        params = {d.key: d.find_choice(x) if d.choices else x for d, x in zip(search.space, place, strict=True)}
        study.add_trial(
            optuna.trial.create_trial(
                params={key: params[key] for key in distributions}, distributions=distributions, value=value
            )
        )
