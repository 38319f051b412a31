"""Time studies: parallel against serial, and a finished one that is started again."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import open_dict

from paribus import record
from paribus.config.compose import Composer
from paribus.sweep.expand import expand_sweep
from paribus.sweep.plan import PlannedRun, plan_study

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("PARIBUS_DATA", ROOT / "data")).absolute()


def sweep(where: Path, *arguments: str) -> float:
    """Seconds that `python train.py --multirun ...` takes in a directory."""
    command = [sys.executable, str(ROOT / "train.py"), "--multirun", "trainer=cpu", *arguments]
    where.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, cwd=where)
    return time.perf_counter() - start


def side_by_side(where: Path, epochs: int) -> tuple[float, float]:
    """Seconds of 12 MLP runs on Fashion-MNIST: in parallel, and one after the other with all cores each."""
    study = (
        "study=s",
        f"data.root={DATA}",
        "activation=relu,tanh,sigmoid",
        "seed=1,2,3,4",
        f"trainer.max_epochs={epochs}",
    )
    together = sweep(where / "together", *study, "hydra/launcher=parallel")
    return together, sweep(where / "alone", *study)


def started_again(where: Path) -> float:
    """Seconds that a study of 500 finished runs takes to say so. Their records are copies of one but for identities."""
    sweep(where, "study=one", "model=regression", "trainer.max_epochs=3")
    (made,) = record.find_runs([where / "outputs" / "one"])
    summary = record.read_summary(made)
    arguments = ["study=s", "model=regression", "optim=sgd,adam,rmsprop,nadam,adagrad",
                 "activation=relu,tanh,sigmoid,gelu,elu", "seed=range(20)"]  # fmt: skip
    for run in planned(where, arguments):
        shutil.copytree(made, run.job.directory)
        config = run.job.config
        record.write_json(
            run.job.directory / record.SUMMARY, {**summary, "config": config, "identity": record.identify(config)}
        )
    return sweep(where, *arguments)


def planned(where: Path, arguments: list[str]) -> Iterator[PlannedRun]:
    """The runs of a sweep whose records are to be in outputs/s of a directory."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        study = loader.load_configuration("train", [], RunMode.MULTIRUN)
        with open_dict(study):
            study.hydra.sweep.dir = str(where / "outputs" / "s")
        yield from plan_study(expand_sweep(arguments, loader, study, None, None), Composer(loader, "train"), study)
