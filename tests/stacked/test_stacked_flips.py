from pathlib import Path

import pytest
import torch
from small_stacks import jobs
from torch.nn import functional as F

from paribus import record
from paribus.data.module import InMemory
from paribus.run.attempt import Outcome
from paribus.run.load import load_run
from paribus.stacked.attempt import attempt_stack


@pytest.mark.slow
def test_a_stack_averages_outputs_over_mirror_images(fashion_root: Path, tmp_path: Path) -> None:
    pair = jobs(tmp_path / "study", "model=mlp", "model.hidden=[4]", f"data.root={fashion_root}", "data.val_size=50",
                "data.average_flips=true", "logger=none", "trainer.max_epochs=1", "optim.lr=0.001,0.002")  # fmt: skip
    assert attempt_stack(pair) == [Outcome()] * 2
    for job in pair:
        run = load_run(job.directory, "last")
        run.data.setup("fit")
        assert isinstance(run.data, InMemory) and run.data.val
        inputs, targets = run.data.inputs(run.data.val[0]), run.data.val[1]
        with torch.no_grad():
            output = (run.network(inputs) + run.network(torch.from_numpy(inputs.numpy()[..., ::-1].copy()))) / 2
        [row] = record.read_metrics(job.directory)
        assert row["val/loss"] == pytest.approx(float(F.cross_entropy(output, targets)), rel=1e-4)
