"""Find the random effects of a set of runs: the sources of randomness whose seeds vary. Never torch."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import pandas as pd

from multirun_analysis.records.described import Described
from paribus import record


def with_replicates(runs: Mapping[str, Described]) -> dict[str, Described]:
    """Label the random effects of runs whose sources of randomness have seeds of their own.

    Sources whose seeds vary together are one effect. Of more than two effects, the split is kept for itself, and the
    others are taken together; without a varied split, the first is kept for itself.
    """
    if not any(run.own for run in runs.values()):
        return dict(runs)
    effects = seed_effects(runs.values())
    alone = next((effect for effect in effects if "split" in effect), effects[0] if len(effects) > 1 else ())
    others = [source for effect in effects if effect != alone for source in effect]

    def label(run: Described, sources: Sequence[str]) -> str:
        return ", ".join(f"{source} {run.seeds[source]}" for source in sources)

    return {
        name: replace(run, crossed=(label(run, others), label(run, alone))) if run.seeds else run
        for name, run in runs.items()
    }


def seed_effects(runs: Iterable[Described]) -> list[tuple[str, ...]]:
    """Group the sources of randomness whose seeds vary between runs by which vary together."""
    known = [run.seeds for run in runs if run.seeds]
    groups: dict[tuple[int, ...], list[str]] = {}
    for source in record.SOURCES:
        codes = pd.factorize(pd.Series([seeds[source] for seeds in known], dtype=object))[0]
        if codes.any():
            groups.setdefault(tuple(codes), []).append(source)
    return [tuple(sources) for sources in groups.values()]
