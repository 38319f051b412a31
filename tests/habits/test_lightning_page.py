"""The examples of docs/lightning.md, as written."""

import re
import shlex
from pathlib import Path

import pytest
from conftest import ROOT, main

from paribus import record

pytestmark = pytest.mark.slow

TEXT = (ROOT / "docs" / "lightning.md").read_text(encoding="utf-8")
COMMANDS = [
    line for block in re.findall(r"^```sh\n(.+?)^```", TEXT, re.MULTILINE | re.DOTALL) for line in block.splitlines()
]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.cases(4)
def test_each_command_trains_a_run(command: str) -> None:
    for path, content in re.findall(r"^```yaml\n# (\S+)\n(.+?)^```", TEXT, re.MULTILINE | re.DOTALL):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(content, encoding="utf-8")
    python, script, *arguments = shlex.split(command)
    assert (python, script) == ("python", "train.py")
    assert main(script, *arguments, "trainer=cpu", "threads=1") == 0
    (run,) = record.find_runs([Path("outputs")])
    summary = record.read_summary(run)
    if "max_steps" in command:
        assert summary["stopped"] == {"epoch": 9, "by": "trainer.max_steps=100"}  # 12 batches an epoch
    if "EarlyStopping" in command:
        assert summary["stopped"]["epoch"] == 4
    if "mine]" in command:
        assert list(run.rglob("lowest*.ckpt"))
    if "LearningRateFinder" in command:
        assert list(summary["found"]) == ["optim.lr"]


def test_there_are_examples() -> None:
    assert len(COMMANDS) == 7
