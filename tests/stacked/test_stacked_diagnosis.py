"""A run has the same diagnosis alone and in a stack."""

from collections.abc import Callable
from pathlib import Path

import pytest
from small_stacks import jobs, read_summary

from paribus.stacked.attempt import attempt_stack


@pytest.mark.slow
def test_alone_and_stacked_have_the_same_findings(train: Callable[..., Path], tmp_path: Path) -> None:
    broken = ("model=regression", "threads=1", "optim=sgd", "optim.lr=1e-9", "trainer.max_epochs=3")
    stacked = jobs(tmp_path / "s", *broken[2:], "seed=1,2")
    attempt_stack(stacked)
    for summary in (read_summary(train(*broken, "seed=1")), read_summary(stacked[0].directory)):
        assert [one["finding"] for one in summary["diagnosis"]] == ["at_baseline", "updates_too_small"]
        assert summary["undiagnosed"] == ["edge_of_stability"]
