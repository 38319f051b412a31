"""Find what differs between two runs: first what was asked for, then what came of it."""

import difflib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from paribus import record

EXACT_KEYS = ("status", "seed", "device", "processes", "threads", "stacked")


def compare_runs(first: Path, second: Path) -> dict[str, Any]:
    """Compare two runs that have ended.

    Returns plain values: `identical` (same identity and same curves); `settings`, `versions`, `code` (git commit, and
    what was not committed), `data` (hash and sizes) and `execution`, each with the keys that differ as [first, second],
    None for no such key; `patch`, the lines of a unified diff of their code.patch; and `curves`: for each column of
    metrics.csv that differs the first such epoch, and both last values. Times are not compared. Raises RecordError
    where a run cannot be read.
    """
    summaries = [record.read_summary(path) for path in (first, second)]
    rows = [record.read_metrics(path) for path in (first, second)]
    configs = [record.flatten(record.use_stable_targets(summary.get("config", {}))) for summary in summaries]
    parts = {
        "settings": _differ(*configs),
        "versions": _differ(*(summary.get("versions", {}) for summary in summaries)),
        "code": _differ(*({k: v for k, v in s.get("git", {}).items() if v != []} for s in summaries)),
        "data": _differ(*(summary.get("data", {}) for summary in summaries)),
        "execution": _differ(*({key: summary.get(key) for key in EXACT_KEYS} for summary in summaries)),
        "patch": _compare_patches(first, second),
        "curves": _compare_curves(*rows),
    }
    same = summaries[0].get("identity") == summaries[1].get("identity")
    return {"identical": same and not parts["curves"], **parts}


def _differ(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, list[Any]]:
    keys = [*first, *(key for key in second if key not in first)]
    return {key: [first.get(key), second.get(key)] for key in keys if first.get(key) != second.get(key)}


def _compare_patches(first: Path, second: Path) -> list[str]:
    """Compare what was not committed of the code; a run without code.patch has nothing."""
    files = first / record.PATCH, second / record.PATCH
    ours, theirs = (file.read_text(errors="replace").splitlines() if file.exists() else [] for file in files)
    return list(difflib.unified_diff(ours, theirs, str(files[0]), str(files[1]), n=1, lineterm=""))


def _compare_curves(
    first: list[dict[str, float | None]], second: list[dict[str, float | None]]
) -> dict[str, dict[str, Any]]:
    columns = [*(first or [{}])[0], *(c for c in (second or [{}])[0] if c not in (first or [{}])[0])]
    found: dict[str, dict[str, Any]] = {}
    for column in columns:
        if column in ("epoch", "epoch_seconds"):
            continue
        ours, theirs = ([row.get(column) for row in rows] for rows in (first, second))
        shared = min(len(ours), len(theirs))
        differing = next((i + 1 for i in range(shared) if not _equal(ours[i], theirs[i])), None)
        if differing is None and len(ours) != len(theirs):
            differing = shared + 1
        if differing is not None:
            last = [values[-1] if values else None for values in (ours, theirs)]
            found[column] = {"first_epoch": differing, "last": last, "epochs": [len(ours), len(theirs)]}
    return found


def _equal(first: float | None, second: float | None) -> bool:
    if first is None or second is None:
        return first is second
    return first == second or (math.isnan(first) and math.isnan(second))
