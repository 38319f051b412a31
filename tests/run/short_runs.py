"""The arguments of a short run, and its metrics."""

from collections.abc import Callable
from pathlib import Path

from paribus import record

Train = Callable[..., Path]
SHORT = ("model=regression", "trainer.max_epochs=3", "threads=1")


def metrics(directory: Path) -> list[dict[str, float | None]]:
    rows = record.read_metrics(directory)
    return [{k: v for k, v in row.items() if k != "epoch_seconds"} for row in rows]
