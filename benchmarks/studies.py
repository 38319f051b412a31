"""How long studies take: side by side against one after the other, and one that is finished and started again."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import open_dict

from paribus import record
from paribus.compose import Composer
from paribus.study import plan
from paribus.sweep import expand

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
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        study = loader.load_configuration("train", [], RunMode.MULTIRUN)
        with open_dict(study):
            study.hydra.sweep.dir = str(where / "outputs" / "s")
        for run in plan(expand(arguments, loader, study, None, None), Composer(loader, "train"), study):
            shutil.copytree(made, run.job.directory)
            config = run.job.config
            whole = {**summary, "config": config, "identity": record.identity(config)}
            record.write_json(run.job.directory / record.SUMMARY, whole)
    return sweep(where, *arguments)
