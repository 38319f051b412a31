"""Studies of small runs, trained in this process."""

from pathlib import Path

from conftest import main

from paribus import record
from paribus.sweep.board import LOG

QUICK = ("model=regression", "trainer.max_epochs=2", "trainer=cpu", "threads=1", "callbacks=none", "logger=none")


def sweep(*overrides: str, code: int = 0, of: str = "s") -> Path:
    """A sweep through train.py; its directory."""
    assert main("train.py", "--multirun", f"study={of}", *QUICK, *overrides) == code
    return Path("outputs", of).absolute()


def contents(directory: Path) -> dict[Path, bytes]:
    return {
        p: p.read_bytes()
        for p in sorted(directory.rglob("*"))
        if p.is_file() and p.name not in (LOG, ".claims", record.PLAN)
    }


def statuses(directory: Path) -> list[str]:
    return sorted(record.read_status(run)[0] for run in directory.iterdir() if run.is_dir())
