"""The files of docs/own_models_and_data.md are written, and its commands executed."""

import re
import shlex
from pathlib import Path

import pytest
from analysis_command import analyse
from conftest import ROOT, main

from paribus import record

pytestmark = pytest.mark.slow

TEXT = (ROOT / "docs" / "own_models_and_data.md").read_text(encoding="utf-8")


def test_the_commands_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path, content in re.findall(r"^```(?:yaml|python)\n# (\S+)\n(.+?)^```", TEXT, re.MULTILINE | re.DOTALL):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(content, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    commands = re.findall(r"^python .+$", "\n".join(re.findall(r"^```sh\n(.+?)^```", TEXT, re.M | re.S)), re.M)
    assert len(commands) == 9
    for command in commands:
        _, script, *arguments = shlex.split(command)
        if script == "-m":
            assert arguments[0] == "multirun_analysis" and analyse(*arguments[1:]) == 0, command
            continue
        own = ["trainer=cpu", "threads=1"] if script == "train.py" else []
        assert main(script, *arguments, *own) == 0, command
    runs = record.find_runs([Path("outputs")])
    summaries = [record.read_summary(run) for run in runs]
    assert len(runs) == 1 + 4 + 1 + 1 + 2 + 1 + 1
    assert {summary["status"] for summary in summaries} == {record.COMPLETED}
    assert sum("test" in summary for summary in summaries) == 4
    assert {(summary.get("metric") or {}).get("name") for summary in summaries} == {"val/loss", "g_loss", None}
