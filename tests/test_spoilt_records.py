"""One damaged run hides no other: whatever stands in its files, the rest of the study is planned and compared."""

import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest

from multirun_analysis.compare.comparison import compare, tasks
from multirun_analysis.records.load import load_runs
from multirun_analysis.report.tables import defuse_formulas, runs_csv
from paribus import record
from paribus.run.resume import read_resume_point
from paribus.sweep.plan import find_known_runs

FIRST = Path(__file__).parent / "records_0.1" / "study"
ADAM, SGD = "torch.optim.Adam", "torch.optim.SGD"
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "\n".join(
    f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
FILES = (
    record.SUMMARY, record.METRICS, record.LAYERS, record.FOLDS, record.COMPOSITION, ".hydra/hydra.yaml",
    ".hydra/overrides.yaml", record.LAST, record.BEST,
)  # fmt: skip


def put(content: bytes | str) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content.encode() if isinstance(content, str) else content)


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


SPOILS: dict[str, Callable[[Path], object]] = {
    "removed": lambda path: path.unlink(),
    "empty": put(""),
    "null": put("null"),
    "binary": put(bytes(range(256))),
    "cut": lambda path: path.write_bytes(path.read_bytes()[: len(path.read_bytes()) // 2]),
    "deep": put("[" * 100_000),
    "list": put("[1, 2]"),
    "bomb": put(BOMB),
    "pipe": pipe,
    "folder": folder,
}


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FIRST, tmp_path / "study"))


@pytest.mark.parametrize("spoil", SPOILS)
@pytest.mark.parametrize("file", FILES)
def test_the_other_run_is_there(file: str, spoil: str, study: Path) -> None:
    healthy = load_runs(study).runs.loc[SGD, "best_val_loss"]
    SPOILS[spoil](study / ADAM / file)
    assert study / SGD in [path for path, _ in find_known_runs(study).values()]
    loaded = load_runs(study)
    runs = loaded.runs
    assert set(runs.index) == {ADAM, SGD}, "no run is dropped"
    assert runs.loc[SGD, "status"] == "completed" and runs.loc[SGD, "best_val_loss"] == healthy
    assert isinstance(loaded.layers, pd.DataFrame)
    for task in tasks(loaded):
        compare(loaded, task, None, [], None)
    with suppress(record.RecordError):  # the one error that it may raise
        read_resume_point(study / ADAM)


def test_a_run_without_a_summary_is_the_experiment_that_it_was(study: Path) -> None:
    summary = json.loads((study / ADAM / record.SUMMARY).read_text())
    (study / ADAM / record.SUMMARY).unlink()
    described = load_runs(study).described
    assert described[ADAM].identity == summary["identity"]
    assert set(described[ADAM].flat) - set(described[SGD].flat) <= {"optim.betas", "optim.eps"}, "what Adam alone has"


@pytest.mark.parametrize(
    ("key", "value"),
    [("status", "unheard"), ("status", None), ("status", 3), ("choices", {"optim": 3}), ("config", "text"),
     ("statistics", {"best_val_loss": "low"}), ("statistics", None), ("identity", 3), ("data", [1]), ("test", "x")],
)  # fmt: skip
def test_a_summary_that_says_nonsense(key: str, value: object, study: Path) -> None:
    path = study / ADAM / record.SUMMARY
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    status, summary = record.read_status(study / ADAM)
    assert (status, summary) == (record.DAMAGED, None)
    assert set(load_runs(study).runs["status"]) == {"completed", "damaged"}


def test_a_study_on_a_read_only_disk_is_listed(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test may be root, who may write everywhere; so the system says it."""
    (study / ADAM / record.LOCK).touch()
    opened = os.open

    def read_only(path: str, flags: int, *mode: int, **more: int) -> int:
        if str(path).endswith(record.LOCK) and flags & (os.O_RDWR | os.O_WRONLY):
            raise OSError(30, "Read-only file system", path)
        return opened(path, flags, *mode, **more)

    monkeypatch.setattr(os, "open", read_only)
    assert not record.is_running(study / ADAM)
    assert len(find_known_runs(study)) == 2


def test_two_commands_claim_one_directory(tmp_path: Path) -> None:
    one, other = tmp_path / "optim.lr=0.01", tmp_path / "optim.lr=1e-2"
    assert record.claim_directory(one, "abc") == one
    one.mkdir()
    assert record.claim_directory(other, "abc") == one
    assert record.claim_directory(other, "def") == other
    assert record.claim_directory(one, "abc") == one
    one.rmdir()
    assert record.claim_directory(other, "abc") == other, "a claim ends with its directory"


def test_no_cell_is_a_formula(study: Path) -> None:
    table = pd.DataFrame({"a": ["=1+1", "+x", "@y", "-", "-x", "plain"], "b": [-1.5, 2, 3, 4, 5, 6]})
    assert list(defuse_formulas(table)["a"]) == ["'=1+1", "'+x", "'@y", "-", "'-x", "plain"]
    assert list(defuse_formulas(table)["b"]) == [-1.5, 2, 3, 4, 5, 6]
    path = study / ADAM / record.SUMMARY
    path.write_text(json.dumps({**json.loads(path.read_text()), "message": "=HYPERLINK(1)"}))
    text = runs_csv(compare(load_runs(study), "regression", None, [], None)).to_csv()
    assert "'=HYPERLINK" in text and ",=HYPERLINK" not in text
