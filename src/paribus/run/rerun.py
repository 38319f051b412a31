"""Making a run again, to see whether it comes out the same."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas

from paribus import record
from paribus.errors import UserError
from paribus.run import resume


class Differs(UserError):
    """A run that was made again has not come out the same."""


def require_same(directory: Path, config: Mapping[str, Any]) -> None:
    """Raise UserError unless the run in `directory` is finished, and `config` (resolved) is the same experiment."""
    status, summary = record.read_status(directory)
    if summary is None or status not in record.FINISHED:
        raise UserError(f"{directory} holds no finished run to compare with: its status is {status}.")
    if summary["identity"] != record.identify(config):
        told = resume.describe_differences(resume.find_differences(summary["config"], config))
        raise UserError(f"The configuration of {directory} can no longer be had by its command: {told}.")


def compare(old: Path, new: Path) -> str:
    """Say in how far two records agree, times aside. Raises Differs, naming the first epoch in which they do not."""
    before, now = record.read_metrics(old), record.read_metrics(new)
    for a, b in zip(before, now, strict=False):
        differing = [key for key in a if key != "epoch_seconds" and not _same(a[key], b.get(key))]
        if differing:
            values = ", ".join(f"{key} was {a[key]!r}, is now {b.get(key)!r}" for key in differing)
            raise Differs(f"The runs differ from epoch {a['epoch']} on: {values}.{_circumstances(old, new)}")
    if len(before) != len(now):
        raise Differs(f"{old} has {len(before)} epochs, {new} has {len(now)}; those that both have are identical.")
    compared = [f"{len(now)} epochs of {record.METRICS}, times aside"]
    for name, first_difference in ((record.LAYERS, _first_layer), (record.FOLDS, _first_fold)):
        if (old / name).exists() and (new / name).exists():
            first = first_difference(old, new)
            if first is not None:
                raise Differs(f"{record.METRICS} is identical, but {name} is not: {first}.")
            compared.append(name)
    return f"Identical to the last digit: {', and '.join(compared)}."


def _same(a: float | None, b: float | None) -> bool:
    return a == b or (a is not None and b is not None and math.isnan(a) and math.isnan(b))


def _first_layer(old: Path, new: Path) -> str | None:
    """The first value in which two layers.parquet differ, of those that both have."""
    keys = ["epoch", "layer", "tensor", "quantity"]
    frames = [pandas.read_parquet(directory / record.LAYERS) for directory in (old, new)]
    frames = [frame.astype(dict.fromkeys(keys[1:], str)) for frame in frames]
    return _first_difference(frames, keys, "{quantity} of {layer}.{tensor}")


def _first_fold(old: Path, new: Path) -> str | None:
    """The first value in which two folds.parquet differ, of those that both have."""
    keys = ["epoch", "fold", "column"]
    frames = [pandas.read_parquet(directory / record.FOLDS) for directory in (old, new)]
    return _first_difference(
        [frame.melt(keys[:2], var_name=keys[2]) for frame in frames], keys, "{column} of fold {fold}"
    )


def _first_difference(frames: Sequence[pandas.DataFrame], keys: list[str], what: str) -> str | None:
    """In words, the first value in which two frames differ, of those that both have; `what` names it by its keys."""
    both = frames[0].merge(frames[1], on=keys, suffixes=("_old", "_new"))
    differing = both[~((both.value_old == both.value_new) | (both.value_old.isna() & both.value_new.isna()))]
    if differing.empty:
        return None
    row = differing.sort_values("epoch", kind="stable").iloc[0]
    return f"in epoch {row.epoch} {what.format_map(row)} was {row.value_old!r}, is now {row.value_new!r}"


def _circumstances(old: Path, new: Path) -> str:
    """What else differs between two runs of one configuration, in a sentence."""
    summaries = [record.read_summary(directory) for directory in (old, new)]
    then, now = (
        {
            **{f"version of {name}": number for name, number in summary["versions"].items()},
            "threads": summary.get("threads"),
            "device": summary.get("device"),
            "runs trained as one": summary.get("stacked", 1),
            "data": summary.get("data", {}).get("sha256", "")[:8],
            "commit": (summary["git"]["commit"] or "")[:8],
            "changes not committed": summary["git"]["dirty"],
        }
        for summary in summaries
    )
    other = [f"{key} was {then.get(key)}, is now {now[key]}" for key in now if then.get(key) != now[key]]
    stacked = then["runs trained as one"] != now["runs trained as one"]
    expected = (
        " A stack sums in another order, so that its runs are equal but for rounding, which grows." if stacked else ""
    )
    return f" Beside that: {', '.join(other)}.{expected}" if other else " Nothing is known to differ between them."
