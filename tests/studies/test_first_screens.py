"""The first screen of each experiment in conf/experiment/, and whether its next command asks for the right runs."""

import math
import shlex
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, main
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import OmegaConf, open_dict
from planned_studies import EXPERIMENTS, expanded

from multirun_analysis.compare.comparison import Comparison, compare
from multirun_analysis.records.described import columns_of, describe
from multirun_analysis.records.load import Study
from multirun_analysis.report.verdict import Verdict, verdict
from paribus.config.compose import Composer
from paribus.run.spec import Job
from paribus.sweep.expand import expand_sweep
from paribus.sweep.plan import plan_study

pytestmark = pytest.mark.slow

SEEDS = 3
EPOCHS = 10
Value = Callable[[Job, float], float | None]  # of a run and its noise; None: it diverges


@cache
def jobs_of(experiment: str) -> tuple[Job, ...]:
    """Compose the runs of an experiment, with few of its seeds."""
    sweep, composer, study = expanded(experiment)
    seeds = sorted({int(word[5:]) for run in sweep for word in run if word.startswith("seed=")})[:SEEDS]
    kept = [run for run in sweep if all(int(word[5:]) in seeds for word in run if word.startswith("seed="))]
    return tuple(run.job for run in plan_study(kept, composer, study))


def jobs_of_command(command: str, most: int | None = None) -> list[Job]:
    """Compose the runs that a command asks for, at most so many of them, as the shell and Hydra read it."""
    words = shlex.split(command)
    assert words[:3] == ["python", "train.py", "--multirun"]
    ours = [word for word in words[3:] if word.startswith(("hydra.", "experiment=", "study="))]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        study = loader.load_configuration("train", ["hydra.sweep.dir=outputs", *ours], RunMode.MULTIRUN)
        with open_dict(study):
            study.hydra.runtime.output_dir = "outputs"
        OmegaConf.resolve(study.hydra.sweeper)
        typed = [word for word in words[3:] if not word.startswith("hydra.")]
        sweep = expand_sweep(typed, loader, study, study.hydra.sweeper.params, study.hydra.sweeper.grids)
        return [run.job for run in plan_study(sweep[:most], Composer(loader, "train"), study)]


def told(experiment: str, value: Value) -> Comparison:
    """Compare the runs of an experiment whose figures are made up."""
    random, rows, curves, described, summaries = np.random.default_rng(0), {}, [], {}, {}
    for i, job in enumerate(jobs_of(experiment)):
        name, chosen = f"run{i}", job.choices
        assert chosen is not None
        found = value(job, float(random.normal()))
        classifies = "CrossEntropy" in job.config["loss"]["_target_"]
        metric = "val/acc" if classifies else "val/loss"
        command = f"python train.py experiment={experiment} trainer=cpu seed={job.config['seed']}"
        summaries[name] = {
            "status": "completed", "choices": chosen.options, "set": chosen.given, "config": job.config,
            "study": experiment, "command": command, "data": {"sha256": "0123456789", "train": 722, "val": 154},
        }  # fmt: skip
        described[name] = describe(Path(name), summaries[name])
        settled = math.nan if found is None else found
        rows[name] = {
            "status": "diverged" if found is None else "completed", "message": None,
            "task": "classification" if classifies else "regression", "seed": job.config["seed"],
            "settled_" + metric.replace("/", "_"): settled, "settled_val_mse": settled, "folds": "none recorded",
            "directory": f"outputs/{experiment}/{name}", "diverged_epoch": 1 if found is None else math.nan,
            "epochs": EPOCHS,
        }  # fmt: skip
        curves += [{"run": name, "epoch": e, "step": e, "metric": metric, "value": settled} for e in range(1, EPOCHS)]
    runs = pd.DataFrame.from_dict(rows, orient="index").join(columns_of(described), rsuffix="_tried")
    long = pd.DataFrame(curves).astype({"metric": "category"})
    long["run"] = pd.Categorical(long["run"], list(rows))
    return compare(Study(runs, long, described, summaries))


def noise(job: Job, random: float) -> float:
    """A figure that nothing has an effect on."""
    return 0.8 + 0.001 * random if "CrossEntropy" in job.config["loss"]["_target_"] else 20 + 0.2 * random


def line(found: Verdict, label: str) -> str:
    return " ".join(sentence for one in found.lines if one.label == label for sentence in one.sentences)


@pytest.mark.parametrize(
    ("experiment", "kind"),
    [(name, kind) for name in EXPERIMENTS for kind in ("an effect of all", "a tenth diverges")]
    + [(name, kind) for name in ("concrete_optimizers", "concrete_schedulers", "mlp_activations", "concrete_depths", "vgg6_report")
       for kind in ("noise", "diverged")],
)  # fmt: skip
@pytest.mark.cases(8)
def test_the_first_screen_of_every_experiment_fits_and_leads_on(experiment: str, kind: str) -> None:
    scales: dict[str, float] = {}

    def value(job: Job, random: float) -> float | None:
        assert job.choices is not None
        if kind == "diverged" or (kind == "a tenth diverges" and random > 1.28):
            return None
        levels = [*job.choices.options.values(), *(f"{k}={v}" for k, v in job.choices.given.items() if k != "seed")]
        effect = sum(scales.setdefault(str(level), len(scales) % 7) for level in levels) if kind != "noise" else 0.0
        shift = 0.01 * effect if "CrossEntropy" in job.config["loss"]["_target_"] else 1.0 * effect
        return noise(job, random) - shift * (0.1 if shift < 1 else 1) if kind != "noise" else noise(job, random)

    found = verdict(told(experiment, value))
    text = found.text(80).split("\n\n  ")[0]
    assert len(text.splitlines()) <= 25 and max(map(len, text.splitlines())) <= 80, text
    assert len(text.split()) <= 150, text
    assert "nan" not in text.split() and "inf" not in text.split() and "None" not in text
    assert found.heading.startswith(f"{len(jobs_of(experiment)):,} run") and line(found, "NEXT")
    labels = [one.label for one in found.lines if one.label]
    assert len(labels) == len(set(labels)), labels
    if kind == "diverged":
        assert "no setting is usable" in line(found, "NEXT") and "BEST FOUND" not in labels
    if found.command and found.command.startswith("python train.py"):
        assert jobs_of_command(found.command, most=2)


def factors(job: Job, *keys: str) -> tuple[Any, ...]:
    assert job.choices is not None
    values = []
    for key in keys:
        node: Any = job.config
        if key in job.choices.options:
            values.append(job.choices.options[key])
            continue
        for part in key.split("."):
            node = node.get(part) if isinstance(node, dict) else None
        values.append(node)
    return tuple(values)


def optimizers(job: Job, random: float) -> float | None:
    """The concrete optimizers: adam is best at the highest rate, momentum 0.9 diverges there."""
    optim, lr, momentum = factors(job, "optim", "optim.lr", "optim.momentum")
    if optim == "sgd_momentum" and lr == 0.01 and momentum >= 0.7:
        return None
    best = {"adam": 0.01, "sgd": 0.002, "sgd_momentum": 0.002}[optim]
    return 20 + 3 * abs(math.log10(lr / best)) + {"adam": 0, "sgd": 4, "sgd_momentum": 2}[optim] + 0.1 * random


def test_optimizers_tuned_an_edge_and_what_is_unusable_are_named() -> None:
    found = verdict(told("concrete_optimizers", optimizers))
    assert "adam, lr 0.01" in line(found, "BEST FOUND") and "optimistic" in line(found, "BEST FOUND")
    assert "adam beats" in line(found, "OPTIMIZER") and "each at its best lr" in line(found, "OPTIMIZER")
    assert "[" in line(found, "OPTIMIZER")
    assert "EDGE: adam 0.01 (highest)" in line(found, "LR")
    unusable = line(found, "UNUSABLE")
    assert "sgd_momentum" in unusable and "lr 0.01" in unusable and "momentum >= 0.7" in unusable
    assert f"{2 * SEEDS} of {18 * SEEDS} runs" in unusable


def test_the_wider_range_is_asked_for_all_optimizers_alike_and_for_nothing_else() -> None:
    found = verdict(told("concrete_optimizers", optimizers))
    assert found.command is not None and "widen lr" in line(found, "NEXT")
    asked = [factors(job, "optim", "optim.momentum", "optim.lr", "seed") for job in jobs_of_command(found.command)]
    tried = {factors(job, "optim", "optim.momentum") for job in jobs_of("concrete_optimizers")}
    assert {run[:2] for run in asked} == tried and {run[2] for run in asked} == {0.05}
    assert Counter(run[3] for run in asked) == dict.fromkeys((1, 2, 3), len(tried))
    assert all(job.config["study"] == "concrete_optimizers" for job in jobs_of_command(found.command))


def inner(job: Job, random: float) -> float | None:
    """The same with the best rates inside, so that there is nothing to widen."""
    optim, lr, momentum = factors(job, "optim", "optim.lr", "optim.momentum")
    shift = {"adam": 0, "sgd": 0.8, "sgd_momentum": 0.4}[optim] + 8 * ((momentum or 0.5) not in (0.5, 0.7))
    return 20 + 30 * (lr != 0.002) + shift + 0.1 * random


def test_each_optimizer_is_confirmed_at_its_best_on_fresh_seeds() -> None:
    told_of = told("concrete_optimizers", inner)
    found = verdict(told_of)
    assert found.command is not None and "fresh seeds" in line(found, "NEXT")
    jobs = jobs_of_command(found.command)
    assert all(job.config["confirm"] is True for job in jobs)
    asked = {factors(job, "optim", "optim.momentum", "optim.lr") for job in jobs}
    ranked = sorted(told_of.tried, key=lambda setting: -setting.mean.mean)
    best = {setting.levels["optim"]: setting for setting in ranked}.values()  # the last one of each
    assert asked == {
        (s.levels["optim"], None if s.levels["optim.momentum"] == "-" else s.levels["optim.momentum"], 0.002)
        for s in best
    }
    seeds = {job.config["seed"] for job in jobs}
    assert len(jobs) == 3 * 10 and len(seeds) == 10 and not seeds & {1, 2, 3}


@pytest.mark.parametrize("value", [optimizers, inner])
def test_the_command_is_taken_by_the_command_line(tmp_path: Path, value: Value, capfd: Any) -> None:
    command = verdict(told("concrete_optimizers", value)).command
    assert command is not None
    python, script, *typed = shlex.split(command)
    assert (python, script) == ("python", "train.py")
    assert main(script, *typed, "dry_run=true") == 0, capfd.readouterr().err
    assert f"{len(jobs_of_command(command))} runs" in capfd.readouterr().out
    assert not (tmp_path / "outputs" / "concrete_optimizers").exists()


def test_activations_and_optimizers_at_their_defaults_are_compared_where_they_meet() -> None:
    def value(job: Job, random: float) -> float:
        activation, optim = factors(job, "activation", "optim")
        return 0.9 - 0.05 * (activation == "sigmoid") - 0.02 * (optim == "sgd") + 0.001 * random

    found = verdict(told("mlp_activations", value))
    assert "each at its default lr" in line(found, "OPTIMIZER")
    assert "tune=lr" in shlex.split(found.command or "")  # the same number of rates for each
    asked = jobs_of_command(found.command or "")
    assert len({factors(job, "optim") for job in asked}) > 1


def test_a_depth_that_gets_worse_step_by_step_is_a_trend_with_an_edge() -> None:
    found = verdict(told("concrete_depths", lambda job, random: 20 + 2 * job.config["model"]["depth"] + 0.1 * random))
    assert "EDGE" in line(found, "DEPTH") and "best 1" in line(found, "DEPTH")


def test_single_runs_in_which_several_things_changed_name_no_winner() -> None:
    told_of = told("vgg6_report", lambda job, random: 0.8 + 0.01 * random)
    found = verdict(told_of)
    assert not any(result.winner for result in told_of.results)
    assert "beats" not in found.text() and told_of.confounded
    assert "exploratory" in found.text() and "more seeds" in line(found, "NEXT")
