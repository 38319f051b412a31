"""Name factors as the verdict does: OPTIMIZER, BATCH SIZE."""

from collections import Counter
from collections.abc import Sequence

LABELS = {"optim": "OPTIMIZER", "optim.lr": "LR", "scheduler": "SCHEDULE", "trainer.max_epochs": "EPOCHS"}
LONGEST_LABEL = 14


def name_of(factor: str) -> str:
    """Name a factor in capitals: OPTIMIZER, BATCH SIZE."""
    return LABELS.get(factor, factor.rpartition(".")[2].replace("_", " ").upper())


def labels_of(factors: Sequence[str]) -> dict[str, str]:
    """Label factors so that they can be told apart: short names, with their group where two have the same."""
    names = Counter(name_of(factor) for factor in factors)
    return {f: _shorten(name_of(f) if names[name_of(f)] == 1 else f.upper()) for f in factors}


def _shorten(name: str) -> str:
    """Leave out the middle of a long name: numbered names differ at their end."""
    head = LONGEST_LABEL // 2 - 1
    return name if len(name) <= LONGEST_LABEL else f"{name[:head]}…{name[head + 1 - LONGEST_LABEL :]}"
