"""Compare a repeated run with its original."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas
import pyarrow

from paribus import record
from paribus.errors import UserError, summarise_error
from paribus.run import resume


class RerunMismatch(UserError):
    """The error of a repeated run that differs from its original."""


def require_same(directory: Path, config: Mapping[str, Any]) -> None:
    """Raise UserError unless the run in `directory` is finished, and `config` (resolved) is the same experiment."""
    status, summary = record.read_status(directory)
    if summary is None or status not in record.FINISHED:
        raise UserError(f"{directory} holds no finished run to compare with: its status is {status}.")
    record.read_metrics(directory)  # damaged, it would be noticed after hours
    if summary["identity"] != record.identify(config):
        differences = resume.describe_differences(resume.find_differences(summary["config"], config))
        raise UserError(
            f"The command of {directory} no longer gives its configuration: {differences}. rerun= takes no other "
            "settings; if none was typed, files of conf/ or defaults of classes have changed."
        )


def compare(old: Path, new: Path) -> str:
    """Describe how far two records agree, times aside. Raises RerunMismatch that names the first epoch that differs.

    What instruments measured may differ where another version of Paribus computed it.
    """
    before, now = record.read_metrics(old), record.read_metrics(new)
    for a, b in zip(before, now, strict=False):
        differing = [key for key in a if key != "epoch_seconds" and not _is_same(a[key], b.get(key))]
        if differing:
            values = ", ".join(f"{key} was {a[key]!r}, is now {b.get(key)!r}" for key in differing)
            raise RerunMismatch(f"The runs differ from epoch {a['epoch']} on: {values}.{_explain_mismatch(old, new)}")
    if len(before) != len(now):
        raise RerunMismatch(f"{old} has {len(before)} epochs, {new} has {len(now)}; the common epochs are identical.")
    versions = [str(record.read_summary(directory).get("versions", {}).get("paribus")) for directory in (old, new)]
    measured = ""
    compared = [f"{len(now)} epoch{'s' * (len(now) != 1)} of {record.METRICS} but for times"]
    for name in (record.LAYERS, record.FOLDS, record.STEPS):
        if (old / name).exists() and (new / name).exists():
            try:
                first = _find_first_difference(old / name, new / name)
            except (OSError, KeyError, ValueError, TypeError, AttributeError, pyarrow.ArrowException) as error:
                raise RerunMismatch(
                    f"{record.METRICS} is identical, but {old / name} cannot be read ({summarise_error(error)})."
                ) from None
            if first is not None and name == record.LAYERS and versions[0] != versions[1]:
                measured = f" In {name} measured quantities differ, of versions {' and '.join(versions)}: {first}."
            elif first is not None:
                raise RerunMismatch(f"{record.METRICS} is identical, but {name} is not: {first}.")
            else:
                compared.append(name)
    return f"Identical to the last digit: {', '.join(compared)}.{measured}"


def _is_same(a: float | None, b: float | None) -> bool:
    return a == b or (a is not None and b is not None and math.isnan(a) and math.isnan(b))


def _find_first_difference(old: Path, new: Path) -> str | None:
    """Describe the first value in which two tables of a record differ, among those in both."""
    frames = [pandas.read_parquet(path) for path in (old, new)]
    if old.name == record.LAYERS:
        keys, template = ["epoch", "layer", "tensor", "quantity"], "{quantity} of {layer}.{tensor}"
        frames = [frame.astype(dict.fromkeys(keys[1:], str)) for frame in frames]
    else:
        row = "fold" if old.name == record.FOLDS else "step"
        keys, template = ["epoch", row, "column"], f"{{column}} of {row} {{{row}}}"
        frames = [frame.melt(keys[:2], var_name="column") for frame in frames]
    both = frames[0].merge(frames[1], on=keys, suffixes=("_old", "_new"))
    differing = both[~((both.value_old == both.value_new) | (both.value_old.isna() & both.value_new.isna()))]
    if differing.empty:
        return None
    found = differing.sort_values("epoch", kind="stable").iloc[0]
    values = f"was {float(found.value_old)!r}, is now {float(found.value_new)!r}"
    return f"in epoch {found.epoch} {template.format_map(found)} {values}"


def _explain_mismatch(old: Path, new: Path) -> str:
    """Describe other differences between two runs of one configuration, in a sentence."""
    summaries = [record.read_summary(directory) for directory in (old, new)]
    then, now = (
        {
            **{f"version of {name}": number for name, number in summary.get("versions", {}).items()},
            "threads": summary.get("threads"),
            "device": summary.get("device"),
            "runs trained as one": summary.get("stacked", 1),
            "data": (summary.get("data", {}).get("sha256") or "")[:8],
            "commit": (summary.get("git", {}).get("commit") or "")[:8],
            "changes not committed": summary.get("git", {}).get("dirty"),
        }
        for summary in summaries
    )
    other = [f"{key} was {then.get(key)}, is now {now[key]}" for key in now if then.get(key) != now[key]]
    stacked = then["runs trained as one"] != now["runs trained as one"]
    explanation = " A stack sums in another order: its runs differ by rounding errors, which grow." if stacked else ""
    return f" Other differences: {', '.join(other)}.{explanation}" if other else " No other difference is known."
