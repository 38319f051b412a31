"""Makes studies, one after the other, each going on where it stopped."""

import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich.console import Console

from paribus import record
from studies import boosting
from studies.catalogue import Study

OUTPUTS = Path("outputs")


def make(studies: Sequence[Study], for_cifar: Sequence[str], console: Console) -> list[str]:
    """Make what is not made yet. One that fails stops none of the others.

    `for_cifar` is added to the commands of those that need CIFAR-10. Returns the commands that failed.
    """
    failed = []
    for number, study in enumerate(studies, 1):
        console.rule(f"{study.name}: study {number} of {len(studies)}")
        commands = [[*study.train, *(for_cifar if study.cifar else ())]]
        for command in (*commands, study.evaluate, study.boost):
            if command is None or (command == study.evaluate and not untested(study.name)):
                continue
            if command == study.boost and boosted(study.name):
                continue
            shown = shlex.join(["python", *command])
            console.print(shown, style="bold", soft_wrap=True)
            if subprocess.run([sys.executable, *command], check=False).returncode:
                failed.append(shown)
                break  # what comes next works on what this should have made
    return failed


def untested(name: str) -> list[Path]:
    """The completed runs of a study whose test set has not been read."""
    runs = record.find_runs([OUTPUTS / name])
    summaries = {run: record.read_status(run)[1] or {} for run in runs}
    return [run for run, s in summaries.items() if s.get("status") == record.COMPLETED and not s.get("test")]


def boosted(name: str) -> bool:
    """Whether trees were fitted to the splits of all runs of a study, of the data that the runs were made with."""
    try:
        fitted = pd.read_csv(OUTPUTS / name / boosting.FILE)
    except FileNotFoundError:
        return False
    summaries = {run.name: record.read_summary(run) for run in record.find_runs([OUTPUTS / name])}
    made = {run: summary.get("data", {}).get("sha256") for run, summary in summaries.items()}
    return dict(zip(fitted["run"], fitted["data"], strict=True)) == made
