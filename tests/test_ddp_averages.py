"""trainer=ddp with averaged weights, two passes a step and a schedule that follows a metric: the run of one process."""

from collections.abc import Callable
from pathlib import Path

import pytest
from test_ddp import DDP, ONE, SHORT, same_layers, same_metrics

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("typed", [
    ("optim=sam", "scheduler=plateau", "scheduler.patience=0", "scheduler.threshold=0.9"),
    ("optim=schedulefree_sgd",),
    ("averaging=swa", "averaging.start=0.25"),
], ids=" ".join)  # fmt: skip
@pytest.mark.cases(1)
def test_two_processes_make_the_record_of_one(train: Callable[..., Path], typed: tuple[str, ...]) -> None:
    several = train(*SHORT, *DDP, *typed, "trainer.devices=2", directory="several")
    one = train(*SHORT, *ONE, *typed, directory="one")
    same_metrics(one, several)
    same_layers(one, several)
