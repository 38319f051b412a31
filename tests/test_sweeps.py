"""Sweeps as they are typed, killed at random moments, and made side by side.

`make soak` kills one twenty times and more (PARIBUS_SOAK is how often, PARIBUS_SOAK_SEED which moments).
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas
import pytest
import torch
from case_selection import SOAK
from conftest import ROOT, main, read_layers, typed
from omegaconf import OmegaConf

from paribus import record
from paribus.config.check import Choices
from paribus.run.spec import Composed, Job
from paribus.sweep import launch as engines
from paribus.sweep.board import LOG

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("PARIBUS_SOAK", "0"))
SEED = int(os.environ.get("PARIBUS_SOAK_SEED", "0")) or random.randrange(10**6)
OFTEN = "+callbacks.often._target_=often.Often"
SWEEP = ("--multirun", "study=s", "model=regression", "model.hidden=[16,8]", "model.dropout=0.1",
         *(("trainer.max_epochs=20",) if SOAK else ("trainer.max_epochs=5", "figures=false")),  # what is killed takes its time
         "trainer=cpu", "threads=1", "activation=relu,tanh", "optim.lr=0.01,1e30", "optim=sgd_momentum", "seed=1,2", OFTEN)  # fmt: skip


@pytest.fixture(autouse=True)
def _often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A callback that has checkpoints written after every epoch, for processes of their own too."""
    (tmp_path / "often.py").write_text(
        "import lightning\nfrom paribus.training import checkpoints\n"
        "class Often(lightning.Callback):\n"
        "    def __init__(self): checkpoints.SECONDS_BETWEEN = 0.0\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def runs(directory: Path) -> list[Path]:
    return sorted(d for d in directory.iterdir() if d.is_dir()) if directory.exists() else []


def finished_runs(directory: Path) -> list[Path]:
    return [run for run in runs(directory) if record.read_status(run)[0] in record.FINISHED]


def finished(directory: Path) -> dict[Path, bytes]:
    """The files of the runs that have ended by themselves."""
    paths = [path for run in finished_runs(directory) for path in sorted(run.rglob("*")) if path.is_file()]
    return {path: path.read_bytes() for path in paths}


def assert_same_study(one: Path, other: Path) -> None:
    assert [run.name for run in runs(one)] == [run.name for run in runs(other)]
    for a, b in zip(runs(one), runs(other), strict=True):
        before, after = record.read_summary(a), record.read_summary(b)
        assert (before["status"], before.get("diverged")) == (after["status"], after.get("diverged"))
        assert before["identity"] == after["identity"]
        frames = [pandas.read_csv(run / record.METRICS).drop(columns="epoch_seconds") for run in (a, b)]
        pandas.testing.assert_frame_equal(*frames, check_exact=True)
        pandas.testing.assert_frame_equal(read_layers(a), read_layers(b), check_exact=True)
        states = [torch.load(run / record.LAST, weights_only=True)["state_dict"] for run in (a, b)]
        assert all(torch.equal(states[0][key].nan_to_num(), states[1][key].nan_to_num()) for key in states[0])


def children(of: int) -> list[int]:
    """All processes below one."""
    found = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    pairs = [tuple(map(int, line.split())) for line in found.splitlines()]
    below = [pid for pid, parent in pairs if parent == of]
    return below + [pid for child in below for pid in children(child)]


def gone(pids: list[int], seconds: float = 20) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not any(
            Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]
            for pid in pids
        ):
            return True
        time.sleep(0.1)
    return False


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study, made by one process that nobody disturbed."""
    where = tmp_path_factory.mktemp("undisturbed")
    (where / "often.py").write_text("import lightning\nclass Often(lightning.Callback): pass\n")
    sys.path.insert(0, str(where))
    sys.modules.pop("often", None)
    before = Path.cwd()
    os.chdir(where)
    try:
        assert main("train.py", *SWEEP) == 0
    finally:
        os.chdir(before)
        sys.path.remove(str(where))
        sys.modules.pop("often", None)
    return where / "outputs" / "s"


def begin(command: list[str], where: Path) -> subprocess.Popen:
    """A command in a session of its own, that Ctrl-C reaches even where this process was started to ignore it."""
    with (where / "log").open("a") as log:
        return subprocess.Popen(command, cwd=where, stdout=log, stderr=log, start_new_session=True,
                                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))  # fmt: skip


def disturbed(where: Path, command: list[str], chance: random.Random, most: int) -> int:
    """Make the study, killing it so often at most; how often it was, before it was finished."""
    directory = where / "outputs" / "s"
    for kills in range(most):
        known = finished(directory)
        process = begin(command, where)
        began = time.monotonic()
        while process.poll() is None and not any(map(record.is_running, runs(directory))):
            assert time.monotonic() - began < 60
            time.sleep(0.05)
        time.sleep(chance.uniform(0, 2))
        below = children(process.pid)
        if process.poll() is not None:
            return kills
        victims = ["command", "everything", "interrupt", *["worker"] * ("hydra/launcher=parallel" in command)]
        victim = chance.choice(victims)
        if victim == "worker":
            os.kill(chance.choice(below), signal.SIGKILL)
        elif victim == "interrupt":
            os.killpg(process.pid, signal.SIGINT)
        elif victim == "command":
            os.kill(process.pid, signal.SIGKILL)
        else:
            os.killpg(process.pid, signal.SIGKILL)
        code = process.wait(120)
        if victim == "interrupt":
            assert code == 130 or len(finished_runs(directory)) == 8, f"seed {SEED}: exit code {code}"
        assert gone(below), f"seed {SEED}: {victim} was killed, and processes went on"
        now = finished(directory)
        assert {path: now.get(path) for path in known} == known, f"seed {SEED}: finished runs were touched"
    return most


@pytest.mark.parametrize(("launcher", "times"), [("serial", 1), ("parallel", 2)])
@pytest.mark.cases(0)  # for make soak; make test kills a search and a leader
def test_killed_at_random_moments_the_study_is_completed_as_if_nothing_had_been(
    tmp_path: Path, undisturbed: Path, launcher: str, times: int
) -> None:
    chance = random.Random(f"{SEED} {launcher}")
    command = [sys.executable, str(ROOT / "train.py"), *SWEEP, f"hydra/launcher={launcher}"]
    kills = lives = 0
    while kills < (KILLS or times):
        lives += 1
        where = tmp_path / str(lives)
        where.mkdir()
        kills += disturbed(where, command, chance, (KILLS or times) - kills)
        done = subprocess.run(command, cwd=where, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"seed {SEED}: {done.stdout}{done.stderr}"
        assert "8 runs: 4 completed, 4 diverged" in done.stdout
        assert "KeyboardInterrupt" not in done.stderr, "a worker that had nothing more to do was interrupted"
        assert_same_study(undisturbed, where / "outputs" / "s")
    print(f"seed {SEED}: killed {kills} times in {lives} studies")


def test_two_commands_share_the_runs_of_a_study(tmp_path: Path, undisturbed: Path) -> None:
    command = [sys.executable, str(ROOT / "train.py"), *SWEEP]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in range(2)]
    said = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert all("8 runs: 4 completed, 4 diverged" in text for text in said)
    assert_same_study(undisturbed, tmp_path / "outputs" / "s")
    logs = [(run / record.LOG).read_text() for run in runs(tmp_path / "outputs" / "s")]
    assert all(log.count("722 training") == 1 for log in logs), "a run was made twice"


def test_side_by_side_one_bad_run_stops_nothing_and_its_traceback_is_kept(tmp_path: Path) -> None:
    (tmp_path / "failing.py").write_text(
        "import lightning, os, signal\nclass Fail(lightning.Callback):\n"
        "    def on_train_epoch_end(self, trainer, learner):\n"
        "        if learner.seed == 1: raise RuntimeError('boom')\n"
        "        if learner.seed == 2: os.kill(os.getpid(), signal.SIGKILL)\n"
        "        if learner.seed == 5: os._exit(0)\n"
        "        if learner.seed == 6: os.kill(os.getpid(), signal.SIGTERM)\n"
    )
    done = typed("train.py", "--multirun", "model=regression", "trainer.max_epochs=2", "trainer=cpu", "seed=1,2,3,4,5,6",
                 "hydra/launcher=parallel", "hydra.launcher.n_jobs=2", "+callbacks.fail._target_=failing.Fail")  # fmt: skip
    assert done.returncode == 1
    assert "6 runs: 1 failed, 2 unfinished, 2 completed, 1 interrupted" in done.stdout
    assert "its process was killed (SIGKILL" in done.stdout
    assert "its process exited before the run had ended (exit code 0)" in done.stdout
    (directory,) = (tmp_path / "outputs").iterdir()  # named by the date, which no other process could tell
    log = (directory / LOG).read_text()
    assert "Traceback" in log
    assert "RuntimeError: boom" in log
    summary = record.read_summary(runs(directory)[2])
    assert summary["study"] == directory.name
    assert summary["threads"] == max(1, len(os.sched_getaffinity(0)) // 2)


def test_slurm_by_its_local_stand_in(tmp_path: Path, undisturbed: Path) -> None:
    pytest.importorskip("submitit", reason="the extra [slurm] is not installed")
    few = ["optim.lr=0.01" if o.startswith("optim.lr=") else "seed=1" if o.startswith("seed=") else o for o in SWEEP]
    cluster = ("hydra/launcher=slurm", "hydra.launcher.cluster=local")
    done = typed("train.py", *few, *cluster)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 runs: 2 completed" in done.stdout
    made = runs(tmp_path / "outputs" / "s")
    made.remove(tmp_path / "outputs" / "s" / ".submitit")
    for run in made:
        like = next(
            u for u in runs(undisturbed) if record.read_summary(u)["identity"] == record.read_summary(run)["identity"]
        )
        frames = [pandas.read_csv(d / record.METRICS).drop(columns="epoch_seconds") for d in (like, run)]
        pandas.testing.assert_frame_equal(*frames, check_exact=True)


def test_no_cluster_is_said(capsys: Any) -> None:
    pytest.importorskip("submitit", reason="the extra [slurm] is not installed")
    assert main("train.py", "--multirun", "study=s", "model=regression", "seed=1", "hydra/launcher=slurm") == 1
    assert "error: hydra/launcher=slurm: Could not detect" in capsys.readouterr().err


def test_ray_on_this_machine(tmp_path: Path, undisturbed: Path) -> None:
    pytest.importorskip("ray", reason="the extra [ray] is not installed")
    few = ["optim.lr=0.01" if o.startswith("optim.lr=") else "seed=1" if o.startswith("seed=") else o for o in SWEEP]
    done = typed("train.py", *few, "hydra/launcher=ray", RAY_AUTH_MODE="disabled")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 runs: 2 completed" in done.stdout
    for run in runs(tmp_path / "outputs" / "s"):
        like = next(
            u for u in runs(undisturbed) if record.read_summary(u)["identity"] == record.read_summary(run)["identity"]
        )
        frames = [pandas.read_csv(d / record.METRICS).drop(columns="epoch_seconds") for d in (like, run)]
        pandas.testing.assert_frame_equal(*frames, check_exact=True)


@pytest.mark.parametrize(("gpus", "threads", "devices"), [(0, 2, 1), (1, 2, 1), (3, 2, [1])])
def test_the_cores_and_the_gpus_are_divided(monkeypatch: Any, gpus: int, threads: int, devices: Any) -> None:
    monkeypatch.setattr(engines, "count_cores", lambda: 8)
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: gpus)
    config = {"threads": None, "trainer": {"accelerator": "auto", "devices": 1}}
    job = Job(Path(), Composed(OmegaConf.create(), OmegaConf.create()), Choices({}, {}, config))  # type: ignore[arg-type]
    made = engines.assign_device(job, slot=1, slots=4)
    assert (made.threads, made.config["trainer"]["devices"]) == (threads, devices)
    assert config == {"threads": None, "trainer": {"accelerator": "auto", "devices": 1}}


@pytest.mark.parametrize("n_jobs", ["0", "-1", "2.5", "many"])
def test_a_number_of_jobs_that_is_none_is_refused(n_jobs: str, capsys: Any) -> None:
    arguments = ("--multirun", "study=s", "model=regression", "seed=1", "hydra/launcher=parallel")
    assert main("train.py", *arguments, f"hydra.launcher.n_jobs={n_jobs}") == 1
    assert "hydra.launcher.n_jobs is" in capsys.readouterr().err
    assert not Path("outputs").exists()
