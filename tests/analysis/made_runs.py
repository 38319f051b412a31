"""Comparisons of runs made up, and what is drawn in a figure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from multirun_analysis.compare.comparison import Comparison, compare
from multirun_analysis.records.described import Described, columns_of
from multirun_analysis.records.load import Study

CHOICES = {"model": "regression", "data": "concrete", "activation": "relu", "optim": "adam", "scheduler": "none"}
NAN = float("nan")


def comparison(runs: Sequence[Mapping[str, Any]], **asked: Any) -> Comparison:
    """Of runs given as: choices and values beside, seed, status, and a list by epoch for each metric.

    Compared by their best epoch unless another metric is asked for, so that figures are those of the lists.
    """
    rows, parts, described, summaries = {}, [], {}, {}
    for i, run in enumerate(runs):
        name, given = f"run{i}", run.get("given", {})
        choices = CHOICES | {key: value for key, value in run.items() if key in CHOICES}
        described[name] = Described(choices, given, {**given}, run.get("seed", 1), run.get("identity"))
        summaries[name] = {}
        metrics = {key: values for key, values in run.items() if "/" in key or key == "lr"}
        losses = [v for v in metrics.get("val/loss", []) if np.isfinite(v)]
        rows[name] = {
            "status": run.get("status", "completed"),
            "task": "classification" if "val/acc" in metrics else "regression",
            "seed": run.get("seed", 1),
            "best_val_loss": min(losses, default=NAN),
            "best_val_acc": max(metrics.get("val/acc", [NAN])),
            "settled_val_loss": metrics.get("val/loss", [NAN])[-1],
            "settled_val_acc": metrics.get("val/acc", [NAN])[-1],
            "folds": "none recorded",
            "directory": f"outputs/study/{name}",
            "stability_score": run.get("stability", NAN),
            "baseline_val_loss": run.get("baseline", NAN),
            "diverged_epoch": run.get("broke", NAN),
        }
        parts += [
            {"run": name, "epoch": e, "step": e * run.get("steps", 10), "metric": metric, "value": value}
            for metric, values in metrics.items()
            for e, value in enumerate(values, 1)
        ]
    frame = pd.DataFrame.from_dict(rows, orient="index")
    frame = frame.join(columns_of(described))
    long = pd.DataFrame(parts, columns=["run", "epoch", "step", "metric", "value"])
    long["run"] = pd.Categorical(long["run"], list(rows))
    long["metric"] = long["metric"].astype("category")
    best = "best_val_acc" if (frame["task"] == "classification").any() else "best_val_loss"
    return compare(Study(frame, long, described, summaries), **{"metric": best, **asked})


def drawn(figure: Figure | None) -> Figure:
    assert figure is not None
    figure.set_layout_engine("none")
    figure.draw_without_rendering()  # nothing in it may fail only when it is drawn
    return figure


def marks(axes: Axes, end: str) -> np.ndarray:
    """(n, 2): where the marks of this kind are."""
    found = [part.get_offsets() for part in axes.collections if part.get_gid() == end]
    return np.concatenate([np.asarray(some) for some in found]) if found else np.empty((0, 2))


def texts(figure: Figure) -> str:
    return " | ".join(text.get_text() for legend in figure.legends for text in legend.get_texts())


def strange() -> Iterable[tuple[str, list[dict[str, Any]]]]:
    broken = {"status": "diverged", "broke": 1, "val/loss": [NAN], "train/loss": [NAN], "lr": [0.1]}
    yield "a single run", [{"val/loss": [1.0, 2.0], "lr": [0.1, 0.1]}]
    yield "a single epoch", [{"seed": seed, "val/loss": [1.0], "lr": [0.1]} for seed in (1, 2)]
    yield "all diverged", [broken | {"optim": o, "seed": s} for o in ("adam", "sgd") for s in (1, 2)]
    yield "no epoch at all", [{"status": "failed"}, {"status": "diverged", "broke": 1, "optim": "sgd"}]
    yield "sixty levels", [{"given": {"optim.lr": 0.1 / (k + 1)}, "val/loss": [k + 1.0, 1.0]} for k in range(60)]
    odd = ["$x$", "_hidden", "a" * 300, "$"]
    yield "odd names", [{"optim": o, "activation": o, "val/loss": [2.0, 1.0], "lr": [0.1, 0.1]} for o in odd]
    yield "infinite values", [{"given": {"$_k": k}, "val/loss": [np.inf, -np.inf, NAN]} for k in (1, (2, 3), None)]
    yield (
        "failed and unfinished",
        [
            {"optim": o, "status": status, "val/loss": [2.0, 1.0]}
            for o, status in (("adam", "failed"), ("sgd", "unfinished"), ("nadam", "running"), ("x", "damaged"))
        ],
    )
    yield "zero and negative", [{"seed": s, "val/loss": [0.0, -1.0, 1e9], "train/loss": [0.0] * 3} for s in (1, 2)]
