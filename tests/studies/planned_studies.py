"""What experiments ask for, and records of it that were made by hand."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from zlib import crc32

import numpy as np
import pandas as pd
from conftest import ROOT
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from records import write_layers

from paribus import record
from paribus.config.compose import Composer
from paribus.run.spec import Job
from paribus.sweep.expand import expand_sweep
from paribus.sweep.plan import plan_study
from studies.catalogue import BY_NAME
from studies.page import Material

EXPERIMENTS = sorted(path.stem for path in (ROOT / "conf" / "experiment").glob("*.yaml"))
BASELINE = 280.0


def expanded(experiment: str, *more: str) -> tuple[list[list[str]], Composer, DictConfig]:
    """The overrides of each run of `python train.py --multirun experiment=... MORE`, and what composes them."""
    typed = [f"experiment={experiment}", *more]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        study = loader.load_configuration("train", ["hydra.sweep.dir=outputs", typed[0]], RunMode.MULTIRUN)
        with open_dict(study):
            study.hydra.runtime.output_dir = "outputs"
        OmegaConf.resolve(study.hydra.sweeper)
        sweep = expand_sweep(typed, loader, study, study.hydra.sweeper.params, study.hydra.sweeper.grids)
        return sweep, Composer(loader, "train"), study


@cache
def planned(experiment: str, *more: str) -> tuple[Job, ...]:
    """The runs of an experiment, with what else is typed, composed and checked."""
    sweep, composer, study = expanded(experiment, *more)
    return tuple(run.job for run in plan_study(sweep, composer, study))


def first(experiment: str, directory: Path, *more: str) -> Job:
    """Its first run alone, in this directory."""
    sweep, composer, study = expanded(experiment, *more)
    return replace(plan_study(sweep[:1], composer, study)[0].job.compose(), directory=directory)


def make_record(job: Job, directory: Path, best: float, tested: bool = False) -> None:
    """A completed run whose best validation figure is `best`, in its last epoch."""
    config = job.config
    classifies = "CrossEntropy" in config["loss"]["_target_"]
    epochs = config["trainer"]["max_epochs"]
    fall = np.linspace(1, 0, epochs)
    val = (1 - best if classifies else best) * (1 + fall)
    frame = {
        "epoch": np.arange(1, epochs + 1),
        "step": 10 * np.arange(1, epochs + 1),
        "lr": config["optim"]["lr"],
        "train/loss": 0.9 * val,
        "val/loss": val,
    }
    frame |= {"train/acc": 1 - 0.9 * val, "val/acc": 1 - val} if classifies else {"val/mse": val, "val/mae": val**0.5}
    directory.mkdir(parents=True)
    pd.DataFrame({**frame, "epoch_seconds": 0.1}).to_csv(directory / record.METRICS, index=False)
    found = {"parameters": 1000, "epochs": epochs, "final_train_loss": 0.9 * val[-1], "final_val_loss": val[-1], "stability_score": 0.9,
             "early_layer_gradient": 0.001, "best_epoch": epochs, "train_seconds": 0.1 * epochs}  # fmt: skip
    found |= (
        {"best_val_acc": best, "epochs_to_90pct": 1}
        if classifies
        else {"best_val_loss": best, "baseline_val_loss": BASELINE}
    )
    test = {"acc": best - 0.01} if classifies else {"mse": best + 1, "baseline_mse": BASELINE}
    chosen = job.choices
    assert chosen is not None
    summary = {"status": record.COMPLETED, "study": directory.parent.name, "identity": record.identify(config), "command": "python train.py",
               "choices": chosen.options, "set": chosen.given, "seed": config["seed"], "config": config, "statistics": found,
               "data": {"sha256": "0123", "train": 700, "val": 150}, "threads": 1, "device": "cpu", "test": test if tested else {}}  # fmt: skip
    record.write_json(directory / record.SUMMARY, summary)
    write_layers(directory, 2, [f"linear{i + 1}" for i in range((config["model"].get("depth") or 2) + 1)])
    if not classifies:
        target = np.linspace(10, 70, 20)
        splits = [
            pd.DataFrame({"split": split, "target": target, "prediction": target + 1}) for split in ("train", "val")
        ]
        pd.concat(splits).to_parquet(directory / record.PREDICTIONS)


def make_studies(
    outputs: Path, *names: str, level: dict[str, float] | None = None, seeds: str = "range(1,6)"
) -> Material:
    """Records of these studies: 20 (or 0.89), a bit more with each seed, a hundredth of that by the name, and `level`."""
    for name in names:
        for job in planned(name, *(() if name == "vgg6_report_standin" else (f"seed={seeds}",))):
            classifies = "CrossEntropy" in job.config["loss"]["_target_"]
            shift = sum(by for part, by in (level or {}).items() if part in job.directory.name)
            more = job.config["seed"] % 10 + 0.01 * (crc32(job.directory.name.encode()) % 11)
            best = (0.89 + 0.001 * more if classifies else 20.0 + 0.5 * more) + shift
            make_record(job, outputs / name / job.directory.name, best, tested=BY_NAME[name].tested is not None)
    return Material(outputs, outputs.parent / "figures")
