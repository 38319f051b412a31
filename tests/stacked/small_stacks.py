"""Jobs of small runs that can be stacked, and what is compared of their records."""

import json
from pathlib import Path

import pandas as pd
from conftest import ROOT, read_folds
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import open_dict

from paribus import record
from paribus.config.compose import Composer
from paribus.run.spec import Job
from paribus.sweep.expand import expand_sweep
from paribus.sweep.plan import plan_study

SMALL = ("model=regression", "threads=1", "trainer=cpu", "trainer.max_epochs=2")


def jobs(directory: Path, *typed: str) -> list[Job]:
    """The runs of a sweep, in a study of this directory."""
    own = [f"hydra.sweep.dir={directory}", "hydra.mode=MULTIRUN"]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        study = loader.load_configuration("train", [*own, "study=s"], RunMode.MULTIRUN)
        with open_dict(study):
            study.hydra.runtime.output_dir = str(directory)
        sweep = expand_sweep([*SMALL, *typed], loader, study, None, None)
        return [run.job.compose() for run in plan_study(sweep, Composer(loader, "train", own), study)]


def read_summary(directory: Path) -> dict:
    return json.loads((directory / record.SUMMARY).read_text())


def curves(directory: Path) -> pd.DataFrame:
    return pd.read_csv(directory / record.METRICS).drop(columns="epoch_seconds")


def same_folds(one: Path, other: Path) -> None:
    assert (one / record.FOLDS).exists() == (other / record.FOLDS).exists()
    if (one / record.FOLDS).exists():
        pd.testing.assert_frame_equal(read_folds(other), read_folds(one), rtol=1e-4)
