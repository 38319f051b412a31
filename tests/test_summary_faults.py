"""Check the kinds of a summary's parts: what a run writes passes, and anything else is named."""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import main

from paribus import record
from paribus.record.faults import find_fault

WHOLE: dict[str, Any] = {"status": "completed", "choices": {"optim": "adam"}, "statistics": {"epochs": 2, "lost": None}}


@pytest.mark.parametrize("key", record.PARTS)
def test_an_absent_part_is_no_fault_and_another_kind_is(key: str) -> None:
    assert find_fault({k: v for k, v in WHOLE.items() if k != key}) is None
    fault = find_fault({**WHOLE, key: {"x"}})
    assert fault is not None and fault.startswith(f"{key} is ")


@pytest.mark.parametrize(
    ("part", "fault"),
    [
        ({"status": "ended"}, "status is 'ended'"),
        ({"versions": None}, "versions is None"),
        ({"choices": {}}, "choices is {}"),
        ({"choices": {"optim": 3}}, "choices.optim is 3"),
        ({"statistics": {"epochs": True}}, "statistics.epochs is True"),
        ({"statistics": {"epochs": "2"}}, "statistics.epochs is '2'"),
        ({"git": {"commit": 7}}, "git.commit is 7"),
        ({"git": {"left_out": ["a", None]}}, "git.left_out[1] is None"),
        ({"undiagnosed": [1]}, "undiagnosed[0] is 1"),
        ({"diagnosis": [{"evidence": {"text": 3}}]}, "diagnosis[0].evidence.text is 3"),
        ({"diagnosis": [{"evidence": {}}]}, "diagnosis[0].evidence lacks text"),
        ({"config": {"model": 3}}, "config.model is 3"),
    ],
)
def test_the_fault_is_named(part: dict[str, Any], fault: str) -> None:
    assert find_fault({**WHOLE, **part}) == fault


def test_a_run_writes_none(tmp_path: Path) -> None:
    typed = ("model=regression", "model.hidden=[4]", "trainer=cpu", "threads=1", "trainer.max_epochs=2")
    assert main("train.py", *typed, f"hydra.run.dir={tmp_path / 'run'}") == 0
    summary = json.loads((tmp_path / "run" / record.SUMMARY).read_text())
    assert find_fault(summary) is None and {"git", "versions", "diagnosis", "instruments", "seeds"} <= set(summary)
