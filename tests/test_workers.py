"""Worker processes: how they end, and what signals do to a sweep."""

import os
import signal
import subprocess
import sys
import time
from multiprocessing import forkserver
from pathlib import Path

import pytest
from conftest import ROOT
from test_sweeps import begin, children, finished_runs, gone, runs

from paribus import record
from paribus.errors import UserError
from paribus.sweep.workers import Worker, stop_workers, wait_for_workers

pytestmark = pytest.mark.slow

SWEEP = ("--multirun", "study=s", "model=regression", "trainer.max_epochs=2000", "trainer=cpu", "threads=1",
         "callbacks=none", "seed=1,2,3", "hydra/launcher=parallel", "hydra.launcher.n_jobs=2")  # fmt: skip


def list_modules() -> list[str]:
    return list(sys.modules)


def end(how: str) -> None:
    if how == "exit":
        os._exit(3)
    os.kill(os.getpid(), signal.SIGSEGV if how == "signal" else signal.SIGKILL)


def sleep_or_say(seconds: float, path: Path) -> None:
    try:
        path.write_text("begun")
        time.sleep(seconds)
    except KeyboardInterrupt:
        path.write_text("saved")


def fork_and_end() -> None:
    """End, while a process of its own holds the pipe open."""
    if os.fork() == 0:
        time.sleep(30)
        os._exit(0)
    os._exit(7)


def find_forkserver() -> int:
    forkserver.ensure_running()
    lines = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    ).stdout
    [found] = [
        int(pid)
        for pid, parent, args in (line.split(maxsplit=2) for line in lines.splitlines())
        if int(parent) == os.getpid() and "multiprocessing.forkserver" in args
    ]
    return found


def finish(worker: Worker) -> Worker:
    worker.start()
    while not wait_for_workers([worker], 60):
        pass
    if worker.result is not None:
        worker.retire()
    return worker


def test_a_worker_begins_with_what_a_run_needs_imported() -> None:
    result = finish(Worker(list_modules)).result
    assert {"torch", "lightning", "paribus.run.train", "paribus.stacked.stack"} <= set(result)


def test_a_worker_is_called_again_in_the_same_process_until_it_is_gone() -> None:
    worker = Worker(os.getpid)
    worker.start()
    found = set()
    for _ in range(3):
        while not wait_for_workers([worker], 60):
            pass
        found.add(worker.result)
        assert worker.call_again()
    assert len(found) == 1 and os.getpid() not in found
    while not wait_for_workers([worker], 60):
        pass
    os.kill(worker.result, signal.SIGKILL)
    until = time.monotonic() + 20
    while worker.call_again():
        assert time.monotonic() < until
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("how", "said"),
    [("exit", "exit code 3"), ("signal", "SIGSEGV"), ("kill", "SIGKILL, perhaps for want of memory")],
)
def test_a_worker_without_a_result_says_how_it_ended(how: str, said: str) -> None:
    worker = finish(Worker(end, how))
    assert worker.result is None and said in worker.explain_exit()


def test_a_worker_that_leaves_a_child_behind_is_seen_to_end_at_once() -> None:
    began = time.monotonic()
    assert "exit code 7" in finish(Worker(fork_and_end)).explain_exit()
    assert time.monotonic() - began < 20


def test_workers_outlive_the_forkserver_and_new_ones_can_be_started(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    workers = [Worker(sleep_or_say, 3, tmp_path / "a"), Worker(list_modules)]
    workers[0].start()
    os.kill(find_forkserver(), signal.SIGKILL)
    assert wait_for_workers(workers[:1]) == []
    assert caplog.text.count("was killed") == 1
    finish(workers[1])
    assert workers[1].result
    assert wait_for_workers(workers[:1], 60) == workers[:1]


def test_a_forkserver_that_cannot_start_is_an_error_of_the_study(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(fds: list[int]) -> tuple[int, int]:
        raise EOFError("unexpected EOF")

    monkeypatch.setattr(forkserver, "connect_to_new_process", fail)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    with pytest.raises(UserError, match="cannot be started"):
        Worker(list_modules).start()


def test_stopped_workers_save_what_they_have(tmp_path: Path) -> None:
    worker = Worker(sleep_or_say, 60, tmp_path / "a")
    worker.start()
    until = time.monotonic() + 60
    while not (tmp_path / "a").exists() and time.monotonic() < until:
        time.sleep(0.05)
    stop_workers([worker, Worker(list_modules)])  # the second was never started
    assert (tmp_path / "a").read_text() == "saved"


def begin_sweep(where: Path, *before: str) -> tuple[subprocess.Popen, Path]:
    """Start a sweep and wait until both of its workers train."""
    process = begin([*before, sys.executable, str(ROOT / "train.py"), *SWEEP], where)
    directory = where / "outputs" / "s"
    until = time.monotonic() + 120
    while sum((run / record.METRICS).exists() for run in runs(directory)) < 2:
        assert process.poll() is None and time.monotonic() < until, (where / "log").read_text()
        time.sleep(0.1)
    return process, directory


@pytest.mark.parametrize("how", ["group SIGINT", "SIGTERM", "group SIGTERM"])
@pytest.mark.cases(1)  # a SIGTERM is also what ends the last test
def test_an_interrupted_sweep_saves_its_runs_and_ends_without_a_traceback(tmp_path: Path, how: str) -> None:
    process, directory = begin_sweep(tmp_path)
    below, number = children(process.pid), getattr(signal, how.split()[-1])
    (os.killpg if "group" in how else os.kill)(process.pid, number)
    assert process.wait(60) == 130
    assert gone(below)
    log = (tmp_path / "log").read_text()
    assert "Traceback" not in log and "3 runs: 2 interrupted, 1 not trained" in log
    assert [record.read_status(run)[0] for run in runs(directory)] == [record.INTERRUPTED] * 2


def test_a_killed_leader_takes_its_workers_with_it(tmp_path: Path) -> None:
    process, _ = begin_sweep(tmp_path)
    below = children(process.pid)
    process.kill()
    process.wait()
    assert gone(below)


@pytest.mark.cases(0)  # for make soak
def test_where_the_shell_ignores_ctrl_c_neither_leader_nor_workers_are_interrupted(tmp_path: Path) -> None:
    process, directory = begin_sweep(tmp_path, "sh", "-c", 'trap "" INT; exec "$@"', "sh")
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(2)
    assert process.poll() is None and all(map(record.is_running, runs(directory)))
    process.terminate()
    assert process.wait(60) == 130
    assert finished_runs(directory) == []
