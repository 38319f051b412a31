"""Measure how often a diagnosis is right, on small networks with a planted fault and on healthy ones.

    python benchmarks/diagnosis.py [--first-seed N] [--seeds N] [--only NAME ...] [--keep DIR]

The thresholds of src/paribus/diagnosis and these settings were chosen on the seeds from 1, 1001, ... 4001, those of
steps on the seeds from 1, 6001 and 7001; docs/diagnosis.md says of which seeds its figures are. Exit code 1 where fewer
than 95 % of the planted faults are named with layer and epoch, or more than 5 % of the healthy runs have a finding.
"""

import argparse
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import open_dict
from sweeps import ROOT

from paribus import record
from paribus.config.compose import Composer
from paribus.run.attempt import attempt
from paribus.stacked.attempt import attempt_stack
from paribus.stacked.grouping import find_reason_alone
from paribus.sweep.expand import expand_sweep
from paribus.sweep.plan import plan_study

Finding = Mapping[str, Any]
Right = Callable[[Finding, Path], bool]  # whether layers and epoch of a finding are those that were planted

CONCRETE = ("model=regression", "data=concrete")
CLASSES = ("model=mlp", "data=table", "data.path=classes.csv", "data.target=class", "data.task=classification",
           "model.hidden=[32,16]")  # fmt: skip
POINTS = ("model=regression", "data=table", "data.target=y", "data.task=regression")
PLANTED = ("model=planted", "data=concrete")


@dataclass(frozen=True)
class Case:
    """A setting with a fault, or a healthy one.

    Attributes:
        expected: the findings any of which names the fault; none for a healthy setting.
        right: whether a finding's layers and epoch are right.
        share: of the seeds; large networks are trained with fewer.
    """

    name: str
    arguments: Sequence[str]
    expected: Sequence[str] = ()
    right: Right = lambda found, directory: True
    share: float = 1.0


def in_layer(layer: str, epoch: int = 0) -> Right:
    """Accept a finding that has the layer among its own, from this epoch or the one after."""
    return lambda found, directory: layer in found["layers"] and epoch <= found["epoch"] <= epoch + 1


def from_start(found: Finding, directory: Path) -> bool:
    return found["epoch"] <= 2


def at_best_epoch(found: Finding, directory: Path) -> bool:
    """Accept an epoch near that of the lowest validation loss, smoothed by a moving median."""
    loss = pd.read_csv(directory / record.METRICS)["val/loss"].rolling(9, center=True, min_periods=1).median()
    lowest = loss.index[loss <= 1.05 * loss.min()] + 1
    return lowest[0] - 0.05 * len(loss) <= found["epoch"] <= lowest[-1] + 0.05 * len(loss)


def at_divergence(found: Finding, directory: Path) -> bool:
    curves = pd.read_csv(directory / record.METRICS)
    return found["epoch"] == len(curves) and not np.isfinite(curves[["train/loss", "val/loss"]].iloc[-1]).all()


def any_time(found: Finding, directory: Path) -> bool:
    return True


def at_step(step: int) -> Right:
    """Accept a finding that begins at this optimizer step or up to 3 later, and in its epoch."""

    def right(found: Finding, directory: Path) -> bool:
        steps = pd.read_parquet(directory / record.STEPS).set_index("step")["epoch"]
        return step <= (found["step"] or 0) <= step + 3 and found["epoch"] == steps[found["step"]]

    return right


def at_edge(found: Finding, directory: Path) -> bool:
    """Accept an epoch near the first in which rate x the Hessian's largest eigenvalue / 2 comes up to 1."""
    curves = pd.read_csv(directory / record.METRICS)
    margin = curves["lr"] * curves["curvature/largest_eigenvalue"] / 2
    reached = curves["epoch"][margin >= 0.9].iloc[0], curves["epoch"][margin >= 1].iloc[0]
    return reached[0] - 0.05 * len(curves) <= found["epoch"] <= reached[1] + 0.05 * len(curves)


def planted(activation: str, depth: int, layer: int, scale: float, shift: float, *more: str) -> tuple[str, ...]:
    return (*PLANTED, f"activation={activation}", f"model.depth={depth}", f"model.layer={layer}",
            f"model.scale={scale}", f"model.shift={shift}", *more)  # fmt: skip


def jumping(step: int, gamma: float) -> tuple[str, ...]:
    """Return the options with which the learning rate is multiplied by `gamma` after a step."""
    return "scheduler=jump", f"scheduler.milestones=[{step}]", f"scheduler.gamma={gamma}"


SHORT = "trainer.max_epochs=20"
STRONG = (*POINTS, "data.path=strong.csv", "model.hidden=[32,32]")
WHOLE_BATCHES = (*STRONG, "data.train_subset=256", "data.batch_size=256", "activation=tanh", "optim=sgd",
                 "callbacks=curvature", "callbacks.largest_eigenvalue.every_n_epochs=5")  # fmt: skip
FAULTS = (
    Case("vanishing: 8 layers of sigmoid", (*CONCRETE, "activation=sigmoid", "model.width=32", "model.depth=8", SHORT),
         ("gradients_vanish",), in_layer("linear1", 1)),
    Case("vanishing: 40 layers of relu", (*CONCRETE, "model.width=16", "model.depth=40", SHORT),
         ("gradients_vanish",), in_layer("linear1", 1), 0.5),
    Case("vanishing: 24 layers of tanh", (*CONCRETE, "activation=tanh", "model.width=16", "model.depth=24", SHORT),
         ("gradients_vanish",), in_layer("linear1", 1), 0.5),
    Case("exploding: weights 8 times", planted("relu", 10, 0, 8.0, 0.0, SHORT),
         ("gradients_explode",), in_layer("linear10")),
    Case("exploding: weights 5 times, leaky", planted("leaky_relu", 12, 0, 5.0, 0.0, SHORT),
         ("gradients_explode",), in_layer("linear12")),
    Case("dead: biases of layer 1", planted("relu", 3, 1, 1.0, -6.0, SHORT), ("dead_units",), in_layer("linear1")),
    Case("dead: biases of layer 2", planted("relu", 3, 2, 1.0, -6.0, SHORT), ("dead_units",), in_layer("linear2")),
    Case("dead: a large rate", (*CONCRETE, "optim=sgd", "optim.lr=0.1", SHORT),
         ("dead_units", "diverged"), from_start),
    Case("saturated: weights of layer 1", planted("tanh", 3, 1, 30.0, 0.0, SHORT),
         ("saturated_units",), in_layer("linear1")),
    Case("saturated: weights of layer 2", planted("tanh", 3, 2, 30.0, 0.0, SHORT),
         ("saturated_units",), in_layer("linear2")),
    Case("saturated: sigmoid", planted("sigmoid", 3, 2, 60.0, 0.0, SHORT), ("saturated_units",), in_layer("linear2")),
    Case("rate too large: adam", (*CONCRETE, "optim.lr=3", SHORT),
         ("updates_too_large", "diverged", "dead_units"), from_start),
    Case("rate too large: classes", (*CLASSES, "optim.lr=30", SHORT),
         ("updates_too_large", "diverged", "dead_units"), from_start),
    Case("rate too small: adam", (*CONCRETE, "optim.lr=1e-6", SHORT), ("updates_too_small",), from_start),
    Case("rate too small: sgd", (*CLASSES, "optim=sgd", "optim.lr=1e-5", SHORT), ("updates_too_small",), from_start),
    Case("diverges: sgd", (*CONCRETE, "activation=tanh", "optim=sgd", "optim.lr=1e6", SHORT),
         ("diverged",), at_divergence),
    Case("diverges: momentum", (*CONCRETE, "activation=leaky_relu", "optim=sgd_momentum", "optim.lr=1", SHORT),
         ("diverged",), at_divergence),
    Case("overfits 60 points", (*POINTS, "data.path=weak.csv", "data.train_subset=60", "model.hidden=[128,128]",
                                "data.batch_size=16", "trainer.max_epochs=150"), ("overfits",), at_best_epoch),
    Case("overfits 40 points", (*CLASSES, "data.train_subset=40", "model.hidden=[128,128]", "data.batch_size=8",
                                "trainer.max_epochs=100"), ("overfits",), at_best_epoch),
    Case("too few epochs", (*CONCRETE, "optim.lr=1e-3", "trainer.max_epochs=15"), ("still_improving",), any_time),
    Case("too few epochs: classes", (*CLASSES, "optim=sgd", "optim.lr=0.01", "trainer.max_epochs=15"),
         ("still_improving",), any_time),
    Case("no rate", (*CONCRETE, "optim=sgd", "optim.lr=1e-9", SHORT), ("at_baseline",), from_start),
    Case("targets at random", (*POINTS, "data.path=noise.csv", SHORT), ("at_baseline",), from_start),
    Case("classes at random", (*CLASSES[:2], "data.path=noise_classes.csv", *CLASSES[3:], SHORT),
         ("at_baseline",), from_start),
    # 44 steps an epoch
    *(Case(f"spikes: batch {at} of a wrong scale", ("model=jolted", *STRONG[1:-1], "optim=sgd", f"model.at={at}",
                                                    "trainer.max_epochs=10"), ("loss_spikes",), at_step(at))
      for at in (40, 200)),
    *(Case(f"spikes: the rate jumps at step {at}", (*STRONG, *jumping(at, 100.0), "trainer.max_epochs=8"),
           ("loss_spikes",), at_step(at + 1)) for at in (36, 200)),
    Case("explodes: the rate jumps in epoch 1", (*STRONG, "optim=sgd_momentum", *jumping(30, 1e4), SHORT),
         ("gradients_explode",), at_step(31)),
    *(Case(f"edge of stability: rate {rate}", (*WHOLE_BATCHES, f"optim.lr={rate}", "trainer.max_epochs=150"),
           ("edge_of_stability",), at_edge) for rate in (0.15, 0.2)),
)  # fmt: skip
SETTLED = (*STRONG, "trainer.max_epochs=25", "scheduler=cosine")
SORTED = (*CLASSES, "trainer.max_epochs=40", "scheduler=cosine")
HEALTHY = (
    *(Case(f"healthy: concrete, {a}", (*CONCRETE, f"activation={a}", "scheduler=cosine"), share=0.5)
      for a in ("relu", "gelu")),
    *(Case(f"healthy: {a}", (*SETTLED, f"activation={a}"))
      for a in ("relu", "tanh", "gelu", "silu", "elu", "leaky_relu", "softplus")),
    Case("healthy: sigmoid", (*SETTLED, "activation=sigmoid", "optim.lr=0.03")),
    *(Case(f"healthy: {o}", (*SETTLED, f"optim={o}")) for o in ("adamw", "nadam", "rmsprop", "sgd_momentum")),
    Case("healthy: sgd", (*SETTLED, "optim=sgd", "optim.lr=0.02")),
    *(Case(f"healthy: {d} layers", (*STRONG[:-1], *SETTLED[-2:], f"model.depth={d}", "model.width=32"))
      for d in (1, 4, 6)),
    *(Case(f"healthy: classes, {a}", (*SORTED, f"activation={a}")) for a in ("relu", "tanh", "gelu")),
    *(Case(f"healthy: classes, {o}", (*SORTED, f"optim={o}")) for o in ("sgd", "sgd_momentum", "adamw")),
    Case("healthy: classes, batch norm", (*SORTED, "model.norm=batch")),
    Case("healthy: batches of 2", (*SETTLED, "data.batch_size=2", "optim.lr=3e-4", "trainer.max_epochs=10"), share=0.5),
    Case("healthy: whole batches", (*WHOLE_BATCHES, "optim.lr=0.01", "trainer.max_epochs=150")),
)  # fmt: skip


def write_data(where: Path) -> None:
    """Write the synthetic data: three clusters, and targets of which the inputs tell most, half, or nothing."""
    random = np.random.default_rng(0)
    names = [f"x{i}" for i in range(8)]
    kinds = np.arange(900) % 3
    centres = random.normal(size=(3, 8))
    x = centres[kinds] + random.normal(size=(900, 8))
    pd.DataFrame(x, columns=names).assign(**{"class": [f"c{k}" for k in kinds]}).to_csv(
        where / "classes.csv", index=False
    )
    x = random.normal(size=(900, 8))
    pd.DataFrame(x, columns=names).assign(y=random.normal(50, 10, 900)).to_csv(where / "noise.csv", index=False)
    weak = 5 * x[:, 0] + random.normal(0, 5, 900)
    pd.DataFrame(x, columns=names).assign(y=weak).to_csv(where / "weak.csv", index=False)
    many = random.normal(size=(4000, 8))
    strong = 3 * many[:, 0] + 2 * np.abs(many[:, 1]) + random.normal(0, 1, 4000)
    pd.DataFrame(many, columns=names).assign(y=strong).to_csv(where / "strong.csv", index=False)
    drawn = [f"c{k}" for k in random.integers(3, size=900)]
    pd.DataFrame(x, columns=names).assign(**{"class": drawn}).to_csv(where / "noise_classes.csv", index=False)
    (where / "own" / "model").mkdir(parents=True, exist_ok=True)
    (where / "own" / "model" / "planted.yaml").write_text(
        "# @package _global_\ndefaults:\n  - /data@_global_.data: concrete\n  - /loss@_global_.loss: mse\n  - _self_\n"
        "model: {_target_: planted.Planted, width: 32, depth: 3, layer: 0, scale: 1.0, shift: 0.0, init: torch}\n"
        "default_epochs: 20\ndefault_lr: {adam: 3e-3, sgd: 2e-3}\n"
    )
    (where / "own" / "model" / "jolted.yaml").write_text(
        "# @package _global_\ndefaults:\n  - /data@_global_.data: concrete\n  - /loss@_global_.loss: mse\n  - _self_\n"
        "model: {_target_: planted.Jolted, width: 32, depth: 2, at: 1, scale: 8.0, init: torch}\n"
        "default_epochs: 20\ndefault_lr: {sgd: 2e-2}\n"
    )
    (where / "own" / "scheduler").mkdir(exist_ok=True)
    (where / "own" / "scheduler" / "jump.yaml").write_text(
        "_target_: torch.optim.lr_scheduler.MultiStepLR\nmilestones: [1]\ngamma: 1.0\ninterval: step\n"
    )


def train(case: Case, where: Path, first: int, seeds: int) -> list[Path]:
    """Train a case with each seed, as one stack where it can be, and return the directories of its runs."""
    count = max(1, round(case.share * seeds))
    study = "".join(c if c.isalnum() else "_" for c in case.name)
    own = [f"hydra.sweep.dir={where / study}", "hydra.mode=MULTIRUN", f"hydra.searchpath=[file://{where / 'own'}]"]
    typed = ["trainer=cpu", "logger=none", "threads=1", f"seed=range({first},{first + count})", *case.arguments]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        configured = loader.load_configuration("train", [*own, "study=s"], RunMode.MULTIRUN)
        with open_dict(configured):
            configured.hydra.runtime.output_dir = str(where / study)
        sweep = expand_sweep(typed, loader, configured, None, None)
        jobs = [run.job.compose() for run in plan_study(sweep, Composer(loader, "train", own), configured)]
    alone = find_reason_alone(jobs[0].config)
    outcomes = attempt_stack(jobs) if alone is None else [attempt(job, console=False) for job in jobs]
    wrong = [outcome.message for outcome in outcomes if outcome.message]
    if wrong:
        sys.exit(f"{case.name}: {wrong[0]}")
    return [job.directory for job in jobs]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first-seed", type=int, default=2001)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--only", nargs="+", help="words of the names of cases", default=[""])
    parser.add_argument("--keep", type=Path, help="where the runs stay")
    options = parser.parse_args()
    torch.set_num_threads(1)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    counted: dict[bool, list[int]] = {True: [0, 0], False: [0, 0]}  # by whether a fault was planted: found, runs
    with tempfile.TemporaryDirectory() as scratch:
        where = (options.keep or Path(scratch)).absolute()
        where.mkdir(parents=True, exist_ok=True)
        os.chdir(where)
        write_data(where)
        print("| case | runs | named | with layer and epoch | others found |\n| --- | ---: | ---: | ---: | --- |")
        for case in (*FAULTS, *HEALTHY):
            if not any(word in case.name for word in options.only):
                continue
            named = right = 0
            others: dict[str, int] = {}
            runs = train(case, where, options.first_seed, options.seeds)
            for directory in runs:
                found = record.read_summary(directory)["diagnosis"]
                mine = [one for one in found if one["finding"] in case.expected]
                named += bool(mine)
                right += any(case.right(one, directory) for one in mine)
                for one in found:
                    if one["finding"] not in case.expected:
                        others[one["finding"]] = others.get(one["finding"], 0) + 1
                if not case.expected:
                    named += bool(found)
            told = counted[bool(case.expected)]
            told[0] += right if case.expected else named
            told[1] += len(runs)
            more = ", ".join(f"{name} {count}" for name, count in others.items())
            shown = right if case.expected else ""
            print(f"| {case.name} | {len(runs)} | {named} | {shown} | {more} |", flush=True)
    (named, planted_runs), (false, healthy_runs) = counted[True], counted[False]
    right_share, false_share = (100 * n / max(m, 1) for n, m in ((named, planted_runs), (false, healthy_runs)))
    print(f"\nPlanted and named with layer and epoch: {named} of {planted_runs} ({right_share:.1f} %)")
    print(f"Healthy with a finding: {false} of {healthy_runs} ({false_share:.1f} %)")
    if (planted_runs and right_share < 95) or false_share > 5:
        sys.exit("Not what is required.")


if __name__ == "__main__":
    main()
