"""Check that a configuration's schedule, warm-up and averaging fit each other and the length of the run."""

import math
from collections.abc import Mapping
from typing import Any

from paribus.errors import UserError

LENGTHS = ("T_max", "T_0", "total_iters", "step_size", "milestones")  # of a scheduler, in steps of its interval
OURS = ("torch.", "paribus.")
WARMS_UP = ("one_cycle", "OneCycleLR", "wsd")
WARMUP_KEYS = ("share", "steps", "epochs")


def check_schedules(config: Mapping[str, Any]) -> None:
    """Raise UserError for what a resolved, plain configuration cannot combine, as far as it is known without data."""
    scheduler, warmup = config["scheduler"], config.get("warmup")
    target, epochs = str(scheduler.get("_target_")), config["trainer"].get("max_epochs")
    if warmup is not None:
        if target.rpartition(".")[2] in WARMS_UP:
            raise UserError(f"The schedule {target} warms up by itself. Leave out warmup=, or choose another schedule.")
        given = [key for key in WARMUP_KEYS if warmup.get(key) is not None]
        if len(given) > 1:
            raise UserError(f"{' and '.join(f'warmup.{key}' for key in given)} are given together. Give one of them.")
    shares = [scheduler.get(key) for key in ("warmup_share", "decay_share")]
    if target.startswith(OURS) and all(isinstance(share, int | float) for share in shares) and sum(shares) > 1:
        raise UserError(
            f"scheduler.warmup_share {shares[0]:g} and scheduler.decay_share {shares[1]:g} are more than the whole run "
            "together. Make one of them smaller."
        )
    if isinstance(epochs, int) and epochs > 0 and scheduler.get("interval", "epoch") == "epoch":
        check_length(scheduler, epochs, epochs)
    optimizer = str(config["optim"].get("_target_"))
    if config.get("averaging") is not None and "schedulefree" in optimizer.lower():
        raise UserError(
            f"{optimizer} averages the weights by itself. Leave out averaging=, or choose another optimizer."
        )


def check_length(scheduler: Mapping[str, Any], steps: int, epochs: int) -> None:
    """Raise UserError where a scheduler of torch's or ours takes longer than the run.

    Args:
        scheduler: the node of the configuration.
        steps: how often the scheduler steps in the run of `epochs`: epochs, or optimizer steps.
    """
    for part in scheduler.get("schedulers") or ():
        if isinstance(part, Mapping):
            check_length(part, steps, epochs)
    if not str(scheduler.get("_target_")).startswith(OURS):
        return
    for key in LENGTHS:
        value = scheduler.get(key)
        length = max(value, default=0) if isinstance(value, list) else value
        if isinstance(length, int | float) and length > steps:
            unit = "epochs" if steps == epochs else "steps"
            raise UserError(
                f"scheduler.{key} is {value}, but the run has {steps} {unit}: it would end before its schedule. Give a "
                f"smaller scheduler.{key}, or trainer.max_epochs={math.ceil(length * epochs / steps)}."
            )
