"""Time studies of small networks, stacked and otherwise, and measure their memory."""

import subprocess
import sys
import threading
import time
from pathlib import Path

from sweeps import DATA, ROOT

CONCRETE = ("model=regression", "study=s")
MLP = ("model=mlp", "study=s", f"data.root={DATA}", "trainer.max_epochs=2")


def study(where: Path, runs: int, launcher: str, *arguments: str) -> tuple[float, float]:
    """Seconds that a study of so many seeds takes, from the command to its end, and the memory of all its processes
    at most, in megabytes, seen every two seconds; 0 where the system does not tell."""
    command = [sys.executable, str(ROOT / "train.py"), "--multirun", "trainer=cpu", f"hydra/launcher={launcher}",
               f"seed=range(1,{runs + 1})", *arguments]  # fmt: skip
    where.mkdir(parents=True)
    start = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=where, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    most = [0.0]
    watcher = threading.Thread(target=_watch, args=(process, most))
    watcher.start()
    _, said = process.communicate()
    took = time.perf_counter() - start
    watcher.join()
    if process.returncode:
        sys.exit(said)
    made = len(list(where.glob("outputs/*/*/summary.json")))
    if made != runs:
        sys.exit(f"{made} of {runs} runs were made.")
    return took, most[0]


def _watch(process: "subprocess.Popen[str]", most: list[float]) -> None:
    while process.poll() is None:
        most[0] = max(most[0], _memory_of_session(process.pid))
        time.sleep(2)  # looking takes the processes a fiftieth of a second


def _memory_of_session(session: int) -> float:
    """Megabytes of the processes of a session; what several of them share counts once."""
    total = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if int((folder / "stat").read_text().rpartition(")")[2].split()[3]) == session:
                lines = (folder / "smaps_rollup").read_text().splitlines()
                total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        except (OSError, IndexError):  # it has ended meanwhile
            continue
    return total / 1024
