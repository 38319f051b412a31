"""docs/losses_and_metrics.md: its files are written, its commands run, its tables agree with conf/."""

import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT, main

from paribus import record
from paribus.run.load import Run, load_run

pytestmark = pytest.mark.slow

TEXT = (ROOT / "docs" / "losses_and_metrics.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    python train\.py (.+)$", TEXT, re.MULTILINE)
SMALL = ("threads=1", "trainer=cpu", "callbacks=none", "logger=none", "trainer.max_epochs=2")


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's files in the working directory, where Paribus and Python find them."""
    for path, content in re.findall(r"^```(?:yaml|python)\n# (\S+)\n(.+?)^```", TEXT, re.MULTILINE | re.DOTALL):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(content, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("my_losses", "my_metrics"):
        monkeypatch.delitem(sys.modules, name, raising=False)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.cases(2)
def test_each_command_does_what_it_says(command: str, files: None, fashion_root: Path) -> None:
    data = (
        ("data.train_subset=64",) if "model=mlp" not in command else (f"data.root={fashion_root}", "data.val_size=60")
    )
    where = "hydra.sweep.dir" if "--multirun" in command else "hydra.run.dir"
    assert main("train.py", *shlex.split(command), *SMALL, *data, f"{where}=made") == 0
    for directory in record.find_runs([Path("made")]):
        assert record.read_summary(directory)["status"] == "completed"
        metrics = pd.read_csv(directory / record.METRICS)
        assert np.isfinite(metrics).all(axis=None)
        own = record.read_summary(directory)["config"]["metrics"]
        assert {f"val/{name}" for name in own} <= set(metrics)


def outputs(directory: str) -> tuple[Run, np.ndarray, np.ndarray, pd.Series]:
    """The run, its last network's outputs and the targets of the validation part, and the last row of metrics.csv."""
    run = load_run(directory, "last", trust=True)
    run.data.setup("fit")
    assert run.data.val is not None
    with torch.no_grad():
        output = run.network(run.data.val[0]).double().numpy()
    return run, output, run.data.val[1].double().numpy(), pd.read_csv(run.directory / record.METRICS).iloc[-1]


def test_the_own_loss_and_metric_are_right(files: None) -> None:
    chosen = ("model=regression", "model.hidden=[4]", "data.train_subset=64", *SMALL, "loss=log_cosh", "metrics=worst")
    assert main("train.py", *chosen, "hydra.run.dir=made") == 0
    _, output, y, row = outputs("made")
    x = (output - y) / 5
    assert row["val/loss"] == pytest.approx(float(25 * (np.logaddexp(x, -x) - np.log(2)).mean()), rel=1e-4)
    assert row["val/worst"] == pytest.approx(float(np.abs(output - y).max()), rel=1e-5)


def test_the_tables_name_every_option() -> None:
    for group, heading in (("loss", "## Losses"), ("metrics", "## Metrics")):
        table = TEXT.partition(heading)[2].partition("\n## ")[0]
        named = {
            name for row in re.findall(r"^\| (`.+?) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
        }
        assert named == {path.stem for path in (ROOT / "conf" / group).glob("*.yaml")} - {"none"}
