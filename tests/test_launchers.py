"""trainer=ddp in processes that torchrun, srun or a terminal starts. The oracle is the run of one process."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, main
from test_ddp import DDP, ONE, SHORT, ranked, same_layers, same_metrics  # noqa: F401

from paribus import record
from paribus.errors import UserError
from paribus.run.ranks import count_ranks

pytestmark = pytest.mark.slow

Train = Callable[..., Path]
TORCHRUN, SCRIPT = ("-m", "torch.distributed.run"), str(ROOT / "train.py")


def start(*command: str, **environment: str) -> subprocess.Popen[str]:
    """Start a command as a user does in a terminal of its own."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, "."]), **environment}
    return subprocess.Popen([sys.executable, *command], text=True, env=environment, start_new_session=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    out, _ = process.communicate(timeout=120)
    return process.returncode, out


def free_port() -> int:
    with socket.create_server(("localhost", 0)) as server:
        return int(server.getsockname()[1])


def test_torchrun_makes_a_study() -> None:
    sweep = ("--multirun", *SHORT, "study=s", "seed=1,2")
    code, out = ended(start(*TORCHRUN, "--standalone", "--nproc-per-node=2", SCRIPT, *sweep, *DDP))
    assert code == 0, out
    assert out.count("Run 2 of 2") == 1
    assert main("train.py", *sweep, *ONE, "hydra.sweep.dir=one") == 0
    runs = [sorted(path.parent for path in Path(study).glob("*/summary.json")) for study in ("one", "outputs/s")]
    for one, several in zip(*runs, strict=True):
        same_metrics(one, several)
        same_layers(one, several)


STOPPING = """
import lightning
from pathlib import Path
from paribus import record
from paribus.training import checkpoints

class Stop(lightning.Callback):
    def __init__(self):
        checkpoints.SECONDS_BETWEEN_LOOKS = 0.0

    def on_train_epoch_start(self, trainer, learner):
        if trainer.current_epoch == 1 and trainer.global_rank == 0 and "seed=1" in trainer.default_root_dir:
            record.request_stop(Path(trainer.default_root_dir), "anna@here")
"""


@pytest.mark.cases(0)  # for make soak
def test_a_run_that_is_stopped_under_torchrun_leaves_the_others_alone() -> None:
    Path("stopping.py").write_text(STOPPING)
    sweep = ("--multirun", *SHORT, "study=s", "seed=1,2", "+callbacks.stop._target_=stopping.Stop")
    code, out = ended(start(*TORCHRUN, "--standalone", "--nproc-per-node=2", SCRIPT, *sweep, *DDP))
    stopped, other = (record.read_summary(path.parent) for path in sorted(Path("outputs/s").glob("*/summary.json")))
    assert stopped["message"] == "Stopped on request of anna@here after epoch 2 of 4.", out
    assert (code, stopped["status"], other["status"]) == (1, record.INTERRUPTED, record.COMPLETED), out


def test_torchrun_on_two_machines_and_a_rank_that_is_killed(train: Train, ranked: Any) -> None:  # noqa: F811
    port, directory = free_port(), Path("run").absolute()

    def agents(*more: str) -> list[tuple[int, str]]:
        """Two of them, with a process each, as if on two machines."""
        rendezvous = ("--nnodes=2", "--nproc-per-node=1", "--rdzv-backend=c10d", f"--rdzv-endpoint=localhost:{port}")
        return [ended(process) for process in [start(*TORCHRUN, *rendezvous, SCRIPT, *more) for _ in range(2)]]

    Path("die").touch()
    begun = time.monotonic()
    nodes = ("trainer.devices=1", "trainer.num_nodes=2")
    killed = agents(*SHORT, *DDP, *nodes, ranked("Die"), f"hydra.run.dir={directory}")
    assert all(code != 0 for code, _ in killed) and time.monotonic() - begun < 90, killed
    assert record.read_status(directory)[0] in (record.INTERRUPTED, record.UNFINISHED)
    resumed = agents(f"resume={directory}", "trust=true")
    assert [code for code, _ in resumed] == [0, 0], resumed
    summary = record.read_summary(directory)
    assert (summary["processes"], summary["taken_up"]) == (2, [1])
    one = train(*SHORT, *ONE, ranked("Die"), directory="one")
    same_metrics(one, directory)
    same_layers(one, directory)
    assert record.read_summary(one)["identity"] == summary["identity"]


def test_srun_starts_ranks(train: Train) -> None:
    """Start ranks with the environment variables of srun, at a free port and at a taken one."""
    step = {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "2", "SLURM_NTASKS": "2",
            "SLURM_NODEID": "0", "SLURM_STEP_NODELIST": "localhost", "SLURM_JOB_NAME": "job"}  # fmt: skip

    def task(rank: int, port: int) -> subprocess.Popen[str]:
        own = {"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank), "MASTER_PORT": str(port)}
        return start(SCRIPT, *SHORT, *DDP, "hydra.run.dir=run", **step, **own)

    port = free_port()
    results = [ended(process) for process in [task(0, port), task(1, port)]]
    assert [code for code, _ in results] == [0, 0], results
    same_metrics(train(*SHORT, *ONE, directory="one"), Path("run"))
    with socket.create_server(("localhost", 0)) as server:
        code, out = ended(task(0, server.getsockname()[1]))
    assert code == 1
    assert out.count("error: The processes of the run cannot meet at localhost:") == 1 and "MASTER_PORT=N" in out


@pytest.mark.cases(0)  # for make soak
def test_ctrl_c_ends_all_processes() -> None:
    process = start(SCRIPT, *SHORT, *DDP, "trainer.max_epochs=10000", "hydra.run.dir=run")
    while not Path("run", record.LAST).exists() and process.poll() is None:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    code, out = ended(process)  # where a process were left, it would keep the pipe
    assert (code, record.read_summary(Path("run"))["status"]) == (130, "interrupted"), out
    assert "Traceback" not in out


def test_a_launcher_with_other_processes_than_the_run_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"TORCHELASTIC_RUN_ID": "a", "RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "3"}.items():
        monkeypatch.setenv(name, value)
    asked = {"_target_": "lightning.Trainer", "accelerator": "cpu", "devices": 2, "strategy": "ddp"}
    for trainer, ranks in ((asked, 2), ({**asked, "num_nodes": 2}, 4), ({**asked, "strategy": "auto"}, 1)):
        with pytest.raises(UserError, match=f"has started 3 processes, but the run asks for {ranks}"):
            count_ranks({"trainer": trainer, "logger": {}})
