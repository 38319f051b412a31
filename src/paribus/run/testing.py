"""Evaluate a LightningModule that is none of Paribus' own by its test_step."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.utilities.model_helpers import is_overridden
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from paribus.data.foreign import ForeignData
from paribus.errors import UserError
from paribus.process import silence_libraries
from paribus.randomness import restoring_seed_variables, seed_globally
from paribus.run.build import build_trainer
from paribus.run.load import Run
from paribus.run.naming import name_runs

DESCRIBED = ("checkpoint", "epoch", "evaluated", "samples")  # beside the metrics


def run_test_step(run: Run, device: torch.device) -> dict[str, Any]:
    """Run the module's test_step over the test set; return the number of samples, and what it logs, by name."""
    module, data = run.network, run.data
    assert isinstance(module, lightning.LightningModule) and isinstance(data, ForeignData)
    if not is_overridden("test_step", module):
        raise UserError(
            f"{type(module).__name__} has no test_step, by which {run.directory} could be evaluated. Add "
            'test_step(self, batch, batch_idx) to it, which logs its metrics by self.log("test/loss", loss); the run '
            "need not be trained again."
        )
    if not is_overridden("test_dataloader", data.module):
        raise UserError(f"{data.name} has no test_dataloader: {run.directory} has no test samples.")
    accelerator = {"accelerator": "gpu" if device.type == "cuda" else device.type, "devices": 1, "strategy": "auto"}
    config = {**run.config, "logger": {}, "trainer": {**run.config["trainer"], **accelerator}}
    silence_libraries()
    with restoring_seed_variables():
        data.prepare_data()
        data.setup("test")
        seed_globally(int(config["seed"]), "test")
        trainer = build_trainer(config, Path(), [])
        (first, *others) = trainer.test(module, datamodule=data.module, verbose=False)
    module.to("cpu")
    found = dict(first)
    for more in others:  # one dictionary for each loader, whose names end with its number
        found |= more
    if not found:
        raise UserError(f"test_step of {type(module).__name__} logs nothing by epoch.")
    samples = data.count("test")
    return {**({} if samples is None else {"samples": samples}), **found}


def show_tested(console: Console, tested: Sequence[tuple[Run, dict[str, Any]]]) -> None:
    """Print a table of what the modules of the runs have logged in their test_step."""
    names = list(dict.fromkeys(name for _, metrics in tested for name in metrics if name not in DESCRIBED))
    where, runs = name_runs([run for run, _ in tested])
    title = f"Test set, as test_step logs it{where and f', {where}'}"
    table = Table(box=SIMPLE_HEAD, title=title, title_justify="left", padding=(0, 1, 0, 0))
    for name in (*names, "epoch"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("run", overflow="fold")
    for named, (_, metrics) in zip(runs, tested, strict=True):
        cells = [f"{metrics[name]:.4g}" if name in metrics else "" for name in names]
        table.add_row(*cells, f"{metrics['epoch']} ({metrics['checkpoint']})", Text(named))
    console.print(table)
