"""Check the values of a configuration against the ranges in which they mean something, before anything is built.

The ranges hold for the options in conf/, whose classes are those of torch, Lightning and Paribus; a user's own class
says by itself what it takes.
"""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paribus.errors import UserError
from paribus.paths import parse_path
from paribus.record import SOURCES, flatten

LARGEST_WHOLE = 2**63 - 1  # what torch and numpy take
LARGEST = 3.4e38  # of single precision, in which networks compute
NEEDED = ("seed", "trainer.max_epochs")
OURS = ("torch.", "torchmetrics.", "lightning.", "paribus.", "schedulefree.", "pytorch_optimizer.")
MOST_LAYERS = 10_000  # each takes a tenth of a millisecond to build
MOST_PROCESSES = 4096  # on a machine, or machines: Lightning makes a list of them
MOST_THREADS = max(256, os.cpu_count() or 1)  # beyond, torch's thread pool may end the process


@dataclass(frozen=True)
class Range:
    """The values from `low` to `high`, with the ends that are not `open`.

    Attributes:
        whole: only whole numbers.
        length: of a list whose every value lies in the range; 0: of any length; None: one number, no list.
    """

    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False
    whole: bool = False
    length: int | None = None

    def contains(self, value: Any) -> bool:
        if self.length is not None:
            if not isinstance(value, list | tuple) or (self.length and len(value) != self.length):
                return False
            return all(Range(self.low, self.high, self.open_low, self.open_high, self.whole).contains(x) for x in value)
        if isinstance(value, bool) or not isinstance(value, int if self.whole else int | float):
            return False
        above = value > self.low if self.open_low else value >= self.low
        below = value < self.high if self.open_high else value <= self.high
        largest = LARGEST_WHOLE if isinstance(value, int) else LARGEST
        return above and below and -largest <= value <= largest  # so finite, and a number

    def __str__(self) -> str:
        noun = "whole number" if self.whole else "number"
        bounds = []
        if math.isfinite(self.low):
            bounds.append(f"{'above' if self.open_low else 'at least'} {self.low:g}")
        if math.isfinite(self.high):
            bounds.append(f"{'below' if self.open_high else 'at most'} {self.high:g}")
        if self.length is not None:
            count = f"{self.length} {noun}s" if self.length else f"{noun}s"
            return f"a list of {count}, {'each ' + ' and '.join(bounds) if bounds else 'finite'}"
        return f"a {noun}, {' and '.join(bounds) or 'finite'}"


COUNT = Range(1, whole=True)
NOT_NEGATIVE = Range(0)
POSITIVE = Range(0, open_low=True)
SHARE = Range(0, 1, open_high=True)  # 0 included, 1 not
INNER_SHARE = Range(0, 1, open_low=True, open_high=True)

RANGES: dict[str, Range] = {
    "seed": Range(0, whole=True),
    **{f"seeds.{name}": Range(0, whole=True) for name in SOURCES},
    "threads": Range(1, MOST_THREADS, whole=True),
    "default_epochs": COUNT,
    "data.seed": Range(0, whole=True),
    "data.batch_size": COUNT,
    "data.val_size": COUNT,
    "data.val_fraction": INNER_SHARE,
    "data.test_fraction": SHARE,
    "data.train_subset": COUNT,
    "data.size": Range(1, 4096, whole=True),
    "data.shift": Range(0, 4095, whole=True),
    "data.bins": Range(2, 1000, whole=True),
    "data.target_unit": Range(1e-12, 1e38),
    "data.mean": Range(length=0),
    "data.std": Range(0, open_low=True, length=0),
    "trainer.max_epochs": COUNT,
    "trainer.gradient_clip_val": POSITIVE,
    "trainer.accumulate_grad_batches": COUNT,
    "trainer.check_val_every_n_epoch": COUNT,
    "trainer.num_nodes": Range(1, MOST_PROCESSES, whole=True),
    "trainer.max_steps": Range(-1, whole=True),
    "trainer.min_steps": COUNT,
    "trainer.min_epochs": COUNT,
    "trainer.limit_train_batches": NOT_NEGATIVE,
    "trainer.limit_val_batches": NOT_NEGATIVE,
    "trainer.overfit_batches": NOT_NEGATIVE,
    "model.hidden": Range(1, whole=True, length=0),
    "model.width": COUNT,
    "model.depth": Range(0, MOST_LAYERS, whole=True),
    "model.dropout": SHARE,
    "model.width_multiplier": Range(0, 32, open_low=True),
    "activation.alpha": Range(1e-30),  # celu divides by it
    "activation.beta": POSITIVE,
    "activation.negative_slope": Range(),
    "activation.init": Range(),
    "activation.frequency": POSITIVE,
    "optim.lr": NOT_NEGATIVE,
    "optim.weight_decay": NOT_NEGATIVE,
    "optim.momentum": SHARE,
    "optim.dampening": Range(0, 1),
    "optim.betas": Range(0, 1, open_high=True, length=2),
    "optim.alpha": SHARE,
    "optim.eps": NOT_NEGATIVE,
    "optim.lr_decay": NOT_NEGATIVE,
    "optim.momentum_decay": NOT_NEGATIVE,
    "optim.beta2_decay": Range(-1, 0),
    "optim.d": POSITIVE,
    "optim.max_iter": COUNT,
    "optim.history_size": COUNT,
    "optim.ns_steps": Range(1, 99, whole=True),
    "optim.adamw_lr": NOT_NEGATIVE,
    "optim.adamw_betas": Range(0, 1, open_high=True, length=2),
    "optim.adamw_eps": NOT_NEGATIVE,
    "optim.adamw_weight_decay": NOT_NEGATIVE,
    "optim.rho": POSITIVE,
    "optim.r": NOT_NEGATIVE,
    "optim.weight_lr_power": NOT_NEGATIVE,
    "optim.precondition_frequency": COUNT,
    "optim.max_precondition_dim": COUNT,
    "optim.preconditioning_compute_steps": COUNT,
    "optim.matrix_eps": POSITIVE,
    "optim.t_alpha_beta3": POSITIVE,
    "optim.d0": POSITIVE,
    "optim.d_coef": POSITIVE,
    "scheduler.gamma": POSITIVE,
    "scheduler.eta_min": NOT_NEGATIVE,
    "scheduler.T_max": COUNT,
    "scheduler.step_size": COUNT,
    "scheduler.max_epochs": COUNT,
    "scheduler.max_lr": POSITIVE,
    "scheduler.pct_start": INNER_SHARE,
    "scheduler.div_factor": POSITIVE,
    "scheduler.final_div_factor": POSITIVE,
    "scheduler.total_steps": Range(2, whole=True),
    "scheduler.total_iters": COUNT,
    "scheduler.T_0": COUNT,
    "scheduler.T_mult": COUNT,
    "scheduler.start_factor": Range(0, 1, open_low=True),
    "scheduler.end_factor": Range(0, 1),
    "scheduler.power": POSITIVE,
    "scheduler.hold_share": Range(0, 1, open_low=True),
    "scheduler.warmup_share": Range(0, 1),
    "scheduler.decay_share": Range(0, 1),
    "scheduler.final_factor": Range(0, 1),
    "scheduler.milestones": Range(1, whole=True, length=0),
    "scheduler.factor": INNER_SHARE,
    "scheduler.patience": Range(0, whole=True),
    "scheduler.threshold": NOT_NEGATIVE,
    "scheduler.cooldown": Range(0, whole=True),
    "scheduler.min_lr": NOT_NEGATIVE,
    "warmup.share": Range(0, 1, open_low=True),
    "warmup.steps": COUNT,
    "warmup.epochs": POSITIVE,
    "averaging.decay": SHARE,
    "averaging.update_every_n_steps": COUNT,
    "averaging.start": SHARE,
    "loss.label_smoothing": Range(0, 1),
    "loss.weight": Range(0, open_low=True, length=0),
    "loss.pos_weight": POSITIVE,
    "loss.delta": POSITIVE,
    "loss.beta": NOT_NEGATIVE,
    "loss.eps": POSITIVE,
    "loss.level": INNER_SHARE,
    "metrics.top_k.top_k": COUNT,
    "metrics.calibration_error.n_bins": COUNT,
    "metrics.r2.adjusted": Range(0, whole=True),
    "callbacks.steps.validate_epochs": Range(0, whole=True),
    "callbacks.steps.validate_per_decade": Range(1, 9, whole=True),
    "callbacks.steps.validate_samples": COUNT,
    "tune.trials": Range(2, 4096, whole=True),
    "tune.seed": Range(0, whole=True),
    "tune.reduction": Range(2, 100, whole=True),
    "tune.widen": Range(0, 10, whole=True),
    "tune.confirm": Range(0, 10_000, whole=True),
    "until.looks": Range(3, whole=True, length=0),
    "until.max_seeds": Range(3, 10_000, whole=True),
    "pause": COUNT,
    "callbacks.gradients.every_n_steps": COUNT,
    "callbacks.updates.every_n_steps": COUNT,
    "callbacks.weights.every_n_epochs": COUNT,
    "callbacks.spectrum.every_n_epochs": COUNT,
    "callbacks.grad_signal.every_n_steps": COUNT,
    "callbacks.optimizer_moments.every_n_epochs": COUNT,
    "callbacks.loss_spikes.window": COUNT,
    "callbacks.critical_sharpness.probe_size": COUNT,
    "callbacks.critical_sharpness.every_n_epochs": COUNT,
    "callbacks.largest_eigenvalue.probe_size": COUNT,
    "callbacks.largest_eigenvalue.every_n_epochs": COUNT,
    "callbacks.weights.small": COUNT,
    "callbacks.activations.probe_size": COUNT,
    "callbacks.activations.every_n_epochs": COUNT,
}
OF_CLASSES: dict[tuple[str, str], Range] = {  # where a class means something else by the same key
    ("pytorch_optimizer.AdEMAMix", "optim.betas"): Range(0, 1, open_high=True, length=3),
    ("pytorch_optimizer.AdEMAMix", "optim.alpha"): NOT_NEGATIVE,
    ("schedulefree.SGDScheduleFree", "optim.momentum"): INNER_SHARE,
}
WORDS: dict[str, tuple[Any, ...]] = {
    "trainer.deterministic": (True, False, "warn"),
    "loss.full": (True, False),
    "metrics.f1.average": ("micro", "macro", "weighted"),
    "metrics.auroc.average": ("macro", "weighted"),
    "metrics.calibration_error.norm": ("l1", "l2", "max"),
    "tune.method": ("sobol", "optuna", "halving"),
    "tune.allow_failed": (True, False),
    "figures": (True, False),
    "confirm": (True, False),
    "sequential": (True, False),
}

FOLDERS = ("paribus.data.image_folder.ImageFolder",)  # whose data.path is a directory


def check_ranges(config: Mapping[str, Any]) -> None:
    """Raise UserError for the first value of a resolved, plain configuration that lies out of its range.

    A value of None means that the option is not used, and is checked only where it is needed.
    """
    flat = flatten(config)
    for key in NEEDED:
        if key in flat and flat[key] is None:
            raise UserError(f"{key} is None; it must be {RANGES[key]}.")
    if "seed" in config:  # before data.seed, which takes its value from here
        check_value("seed", config["seed"], RANGES["seed"])
    for name, rate in config.get("default_lr", {}).items():  # before optim.lr, which takes its value from here
        check_value(f"default_lr.{name}", rate, NOT_NEGATIVE)
    _check_node(config, "", True)
    devices = config.get("trainer", {}).get("devices")
    if isinstance(devices, int) and devices != -1:  # -1: all there are
        check_value("trainer.devices", devices, Range(1, MOST_PROCESSES, whole=True))
    data = config.get("data", {})
    if str(data.get("_target_")).startswith(OURS):
        _check_paths(data)


def _check_node(node: Mapping[str, Any], path: str, ours: bool) -> None:
    if "_target_" in node and node["_target_"] is not None:
        ours = str(node["_target_"]).startswith(OURS)
    for key, value in node.items():
        full = f"{path}{key}"
        if ours and full in RANGES:
            check_value(full, value, OF_CLASSES.get((str(node.get("_target_")), full), RANGES[full]))
        elif isinstance(value, Mapping) and full not in WORDS:
            _check_node(value, f"{full}.", ours)
        elif value is not None and ours and full in WORDS and repr(value) not in map(repr, WORDS[full]):
            words = ", ".join(str(word).lower() for word in WORDS[full])
            raise UserError(f"{full} is {value!r}; it must be one of {words}, or null.")


def check_value(key: str, value: Any, allowed: Range) -> None:
    """Raise UserError for a value out of its range; None means that the option is not used."""
    if value is not None and not allowed.contains(value):
        large = isinstance(value, int | float) and LARGEST_WHOLE < abs(value) < math.inf
        limit = f" (the largest: {LARGEST_WHOLE} for a whole number, {LARGEST:g} for others)" if large else ""
        raise UserError(f"{key} is {value!r}; it must be {allowed}{limit}.")


def _check_paths(data: Mapping[str, Any]) -> None:
    """Raise UserError where data.path is no file (or folder), or data.root something else than a directory."""
    if data.get("path") is not None:
        path, folder = parse_path(data["path"], "data.path"), data["_target_"] in FOLDERS
        kinds = ("directory", "DIR") if folder else ("file", "FILE")
        if not path.exists():
            raise UserError("{} does not exist. Name another {} with data.path={}.".format(path, *kinds))
        if path.is_dir() != folder:
            is_a = "file" if folder else "directory"
            raise UserError("{} is a {}. Name a {} with data.path={}.".format(path, is_a, *kinds))
    if data.get("root") is not None:
        root = parse_path(data["root"], "data.root")
        inside = next((parent for parent in (root, *root.parents) if parent.exists()), Path())
        if not inside.is_dir():
            raise UserError(f"{inside} is a file. Name a directory with data.root=DIR.")
