"""Studies for the first screen, and what stands on it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from multirun_analysis.report.verdict import Verdict

SEEDS = (1, 2, 3)


def line(found: Verdict, label: str) -> str:
    return " ".join(sentence for one in found.lines if one.label == label for sentence in one.sentences)


def fits(found: Verdict) -> bool:
    """Whether it is a first screen: 25 lines of 80 columns and 150 words, but for the command."""
    text = found.text().split("\n\n  ")[0]
    lines = text.splitlines()
    return len(lines) <= 25 and max(map(len, lines)) <= 80 and len(text.split()) <= 150


def crossed(levels: Mapping[str, Sequence[Any]], seeds: int, seed: int = 0) -> list[dict[str, Any]]:
    random = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = [{}]
    for key, values in levels.items():
        rows = [{**row, key: value} for row in rows for value in values]
    groups = ("activation", "optim", "scheduler", "model", "data")
    return [
        {**{k: v for k, v in row.items() if k in groups}, "given": {k: v for k, v in row.items() if k not in groups},
         "seed": s, "val/loss": [9.0, float(random.normal(5, 1))]}
        for row in rows for s in range(seeds)
    ]  # fmt: skip


LEVELS = {"activation": ["relu", "tanh", "gelu"], "optim": ["adam", "sgd", "rmsprop"], "optim.lr": [0.001, 0.01, 0.1]}

STUDIES: dict[str, list[dict[str, Any]]] = {
    "one run": crossed({}, 1),
    "two runs": crossed({"activation": ["relu", "tanh"]}, 1),
    "81 runs": [run | ({"status": "diverged", "val/loss": [float("nan")]} if run["optim"] == "sgd"
                       and run["given"]["optim.lr"] > 0.001 else {}) for run in crossed(LEVELS, 3)],
    "1,000 runs": crossed({**LEVELS, "data.batch_size": [32, 64, 128, 256], "model.dropout": [0.0, 0.1, 0.2]}, 3)[:1000],
    "twelve factors": [{"given": {f"model.a_rather_long_name_{k}": i + j for k in range(12) for j in [k * (i > k)]},
                        "seed": s, "val/loss": [9.0, 5.0 + i]} for i in range(12) for s in (1, 2)],
    "long names": crossed({"activation": ["a" * 90, "b" * 90, "c" * 200], "optim": ["d" * 60, "e" * 60]}, 3),
    "all diverged": [run | {"status": "diverged", "val/loss": [float("nan")]} for run in crossed(LEVELS, 2)],
    "nothing ended": [run | {"status": status} for run in crossed({"optim": ["adam", "sgd"]}, 2)
                      for status in ("failed", "unfinished", "running", "damaged")],
    "a report's own choices": [
        {"activation": a, "optim": o, "seed": s, "val/loss": [9.0, loss], "given": {"optim.lr": lr, "data.batch_size": b,
         "trainer.max_epochs": e, **({"optim.momentum": 0.9} if o in ("sgd", "nesterov") else {})},
         "status": "diverged" if i in (3, 5, 8, 9, 17) else "failed" if i in (20, 21) else "completed"}
        for i, (a, o, lr, b, e, s, loss) in enumerate(
            (("relu", "tanh", "gelu", "silu")[i * i % 4 if i < 30 else i % 4], ("adam", "sgd", "nesterov", "nadam", "rmsprop", "adagrad")[i * 7 % 6],
             (0.001, 0.01, 0.1)[i * 5 % 3], (64, 128)[i * 3 % 2], (10, 20, 30)[i // 3 % 3], 1, 5.0 + i * 37 % 17)
            for i in range(35))
    ],
    "a hundred levels": crossed({"optim.lr": [0.001 * 1.05**i for i in range(100)]}, 2),
}  # fmt: skip


def tuned(better: float = 0.01) -> list[dict[str, Any]]:
    return [
        {"optim": o, "optim__lr": lr, "seed": s,
         "losses": (90.0, 20 + 5 * (lr != better) + 4 * (o == "sgd") + s + 0.01 * s**2 * (o == "adam"))}
        for o in ("adam", "sgd") for lr in (0.001, 0.01, 0.1) for s in SEEDS
    ]  # fmt: skip
