"""Studies with layers made up, and what is drawn of them."""

import io
import itertools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from multirun_analysis import load_runs
from multirun_analysis.compare.comparison import Comparison, compare

Row = tuple[int, str, int, str, str, float]  # epoch, layer, depth, tensor, quantity, value

SIZES = {"weight": 30.0, "bias": 10.0}


def write(
    directory: Path,
    *,
    rows: Iterable[Row],
    optim: str = "adam",
    given: dict[str, Any] | None = None,
    seed: int = 1,
    status: str = "completed",
    loss: float = 1.0,
) -> None:
    directory.mkdir(parents=True)
    (directory / "metrics.csv").write_text(f"epoch,step,train/loss,val/loss\n1,1,{loss},{loss}\n")
    summary = {
        "status": status, "identity": f"{directory.name}", "seed": seed, "set": given or {},
        "choices": {"model": "regression", "data": "d", "activation": "relu", "optim": optim, "scheduler": "none"},
        "config": {"seed": seed, "optim": {"name": optim}, "model": {}, "data": {}}, "statistics": {"epochs": 1, "best_val_loss": loss},
    }  # fmt: skip
    for key, value in (given or {}).items():
        group, name = key.split(".")
        summary["config"].setdefault(group, {})[name] = value
        if key == "model.depth":
            summary["config"]["model"]["hidden"] = [32] * value
    (directory / "summary.json").write_text(json.dumps(summary))
    frame = pd.DataFrame(list(rows), columns=["epoch", "layer", "depth", "tensor", "quantity", "value"])
    if len(frame):
        frame.to_parquet(directory / "layers.parquet", index=False)


def gradients(*epochs: Iterable[float], sizes: dict[str, float] = SIZES) -> list[Row]:
    """Of each epoch the mean |g| of each layer: of its weight; the bias has three times as much."""
    depths = range(max((len(list(layers)) for layers in epochs), default=0))
    rows: list[Row] = [(0, f"linear{d + 1}", d, tensor, "size", size) for d in depths for tensor, size in sizes.items()]
    for epoch, layer in enumerate(epochs, start=1):
        for (d, value), tensor in itertools.product(enumerate(layer), sizes):
            bias = 3 if tensor == "bias" else 1
            rows.append((epoch, f"linear{d + 1}", d, tensor, "grad_mean_abs", bias * value))
    return rows


JOINED = (30 * 1 + 10 * 3) / 40  # of a layer whose weight has 1


def shares(quantity: str, tensor: str, *epochs: Iterable[float]) -> list[Row]:
    return [(e, f"linear{d + 1}", d, tensor, quantity, v) for e, vs in enumerate(epochs, 1) for d, v in enumerate(vs)]


def read(path: Path) -> Comparison:
    return compare(load_runs(path))


def made(figure: Figure | None) -> Figure:
    assert figure is not None
    return figure


def drawn(figure: Figure | None) -> Figure:
    made(figure).savefig(io.BytesIO())  # nothing in it may fail only when it is drawn
    return made(figure)


def curves(axes: Axes, kind: str = "mean") -> list[np.ndarray]:
    """(points, 2) of each line."""
    (found,) = [c for c in axes.collections if c.get_gid() == kind]
    return [np.asarray(segment).reshape(-1, 2) for segment in found.get_segments()]  # type: ignore[attr-defined]


def marks(axes: Axes, mark: str = "diverged") -> np.ndarray:
    """(marks, 2)."""
    found = [np.asarray(c.get_offsets()) for c in axes.collections if c.get_gid() == mark]
    return np.concatenate(found) if found else np.empty((0, 2))
