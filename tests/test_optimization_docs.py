"""docs/optimizers_and_schedules.md: its tables name every option, and its examples train."""

import re
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from pkgutil import resolve_name

import pandas
import pytest
import yaml
from conftest import ROOT, main

from paribus import record
from paribus.stacked.modules import NotStackable
from paribus.stacked.optimizer import require_stackable_optimizer

TEXT = (ROOT / "docs" / "optimizers_and_schedules.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```(?:yaml|python)\n# (\S+)\n(.+?)^```", TEXT, re.MULTILINE | re.DOTALL)


def rows_of(group: str) -> dict[str, str]:
    """The rows of a table, by option."""
    table = TEXT[TEXT.index(f"| `{group}=` |") :].split("\n\n")[0]
    rows = table.splitlines()[2:]
    return {name: row for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])}


@pytest.mark.parametrize("group", ["optim", "scheduler", "averaging"])
def test_the_tables_name_every_option(group: str) -> None:
    assert set(rows_of(group)) == {path.stem for path in (ROOT / "conf" / group).glob("*.yaml")}


@pytest.mark.muon
def test_the_table_says_what_an_optimizer_needs() -> None:
    for name, row in rows_of("optim").items():
        target = yaml.safe_load((ROOT / "conf" / "optim" / f"{name}.yaml").read_text())["_target_"]
        if target is None:
            assert name == "own"  # whatever the module configures
            continue
        note = row.split("|")[-2].strip()
        assert note.startswith("extra") == (not target.startswith(("torch.", "paribus."))), name
        with nullcontext() if re.search(r"\bstack\b", note) else pytest.raises(NotStackable):
            require_stackable_optimizer(resolve_name(target))


@pytest.fixture
def examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The examples, written into the working directory."""
    for path, content in EXAMPLES:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(content, encoding="utf-8")
        if path.endswith(".py"):
            monkeypatch.delitem(sys.modules, path.removesuffix(".py"), raising=False)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("examples")
def test_the_examples_train(train: Callable[..., Path]) -> None:
    short = (
        "model=regression",
        "model.hidden=[8]",
        "data.train_subset=64",
        "trainer.max_epochs=4",
        "threads=1",
        "logger=none",
    )
    run = train(*short, "optim=sign_descent", "scheduler=triangle", "data.batch_size=32")
    rates = pandas.read_csv(run / record.METRICS)["lr"]  # of the last of two steps an epoch; the peak is at step 2 of 8
    assert rates.tolist() == pytest.approx([0.01, 0.01 * 5 / 6, 0.01 * 3 / 6, 0.01 * 1 / 6])
    run = train(*short, "optim=sgd", "optim.lr=0.001", "scheduler=two_phases", directory="other")
    assert pandas.read_csv(run / record.METRICS)["lr"].tolist() == pytest.approx([5e-4, 5e-4, 1e-3, 9e-4])


@pytest.mark.slow
@pytest.mark.muon
def test_the_commands_are_in_order(tmp_path: Path, fashion_root: Path) -> None:
    commands = re.findall(
        r"^    python train.py (optim=muon.+|optim=schedulefree.+|scheduler=cosine.+)$", TEXT, re.MULTILINE
    )
    assert len(commands) == 3
    for command in commands:
        assert (
            main(
                "train.py",
                *command.split(),
                f"data.root={fashion_root}",
                "data.val_size=100",
                "trainer=cpu",
                "dry_run=true",
            )
            == 0
        )
