"""Time studies: parallel against serial, and a finished one that is started again."""

import io
import json
import os
import pickle
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import open_dict

from paribus import record
from paribus.config.compose import Composer
from paribus.run.attempt import Outcome
from paribus.run.spec import Job
from paribus.sweep.board import Board
from paribus.sweep.execute import execute_plan
from paribus.sweep.expand import expand_sweep
from paribus.sweep.plan import PlannedRun, plan_study
from paribus.terminal import make_console

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("PARIBUS_DATA", ROOT / "data")).absolute()


def sweep(where: Path, *arguments: str) -> float:
    """Seconds that `python train.py --multirun ...` takes in a directory."""
    command = [sys.executable, str(ROOT / "train.py"), "--multirun", "trainer=cpu", *arguments]
    where.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, cwd=where)
    return time.perf_counter() - start


def side_by_side(where: Path, epochs: int) -> tuple[float, float, float]:
    """Time 12 MLP runs on Fashion-MNIST in seconds: in parallel, in turn with all cores, in turn with one core."""
    study = (
        "study=s",
        f"data.root={DATA}",
        "activation=relu,tanh,sigmoid",
        "seed=1,2,3,4",
        f"trainer.max_epochs={epochs}",
    )
    together = sweep(where / "together", *study, "hydra/launcher=parallel")
    return together, sweep(where / "alone", *study), sweep(where / "one core", *study, "threads=1")


def finish(where: Path, arguments: list[str]) -> None:
    """Make the records of a sweep in outputs/s of a directory: copies of one real run but for their identities."""
    sweep(where, "study=one", "model=regression", "trainer.max_epochs=3")
    (made,) = record.find_runs([where / "outputs" / "one"])
    summary = record.read_summary(made)
    for run in planned(where, arguments):
        shutil.copytree(made, run.job.directory)
        config = run.job.config
        record.write_json(
            run.job.directory / record.SUMMARY, {**summary, "config": config, "identity": record.identify(config)}
        )


def started_again(where: Path) -> tuple[float, float]:
    """Seconds of CPU that a study of 500 finished runs takes to say so, and that one of a single finished run takes."""
    many = ["study=s", "model=regression", "optim=sgd,adam,rmsprop,nadam,adagrad",
            "activation=relu,tanh,sigmoid,gelu,elu", "seed=range(20)"]  # fmt: skip
    finish(where, many)
    one = ["study=s", "model=regression", "optim=sgd", "activation=relu", "seed=1"]
    found = []
    for arguments in (many, one):
        before = os.times()
        sweep(where, *arguments)
        after = os.times()
        found.append(sum(after[2:4]) - sum(before[2:4]))
    return found[0], found[1]


def leader_memory(where: Path, runs: int) -> tuple[float, float]:
    """Megabytes at most of a process that leads studies of so many runs: once a tenth has ended, and all.

    What executes the runs only writes their summaries.
    """
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import sweeps; sweeps.lead({runs})"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=where)
    tenth, all_of_them = map(float, done.stdout.split()[-2:])
    return tenth, all_of_them


def lead(runs: int) -> None:
    """Plan and execute a study whose runs end at once, and print this process's memory in megabytes, twice."""
    jobs_planned = list(planned(Path.cwd(), ["study=s", "model=regression", f"seed=range({runs})"]))
    directory = Path("outputs/s")
    directory.mkdir(parents=True)
    whole = {"status": "completed", "statistics": {"best_val_loss": 1.0}, "versions": {str(i): i for i in range(2000)}}

    def end_all(jobs: Sequence[Job]) -> Generator[tuple[Job, Outcome], None, None]:
        for number, job in enumerate(jobs, 1):
            pickle.dumps(job)  # as for a worker
            job.directory.mkdir()
            summary = {**whole, "identity": record.identify(job.config), "config": job.config}
            (job.directory / record.METRICS).touch()
            (job.directory / record.SUMMARY).write_text(json.dumps(summary))
            yield job, Outcome()
            if number in (runs // 10, runs):
                print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)

    board = Board(make_console(file=io.StringIO()), jobs_planned, directory, live=False)
    execute_plan(jobs_planned, end_all, board.report_run)


def planned(where: Path, arguments: list[str]) -> Iterator[PlannedRun]:
    """The runs of a sweep whose records are to be in outputs/s of a directory."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        study = loader.load_configuration("train", [], RunMode.MULTIRUN)
        with open_dict(study):
            study.hydra.sweep.dir = str(where / "outputs" / "s")
        yield from plan_study(expand_sweep(arguments, loader, study, None, None), Composer(loader, "train"), study)
