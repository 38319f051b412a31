"""Make the learning rate schedulers whose defaults depend on the run; conf/scheduler/ names torch's own."""

from math import sqrt
from typing import Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, OneCycleLR, StepLR

from paribus.errors import unknown_name

DECAYS = ("linear", "sqrt")


def step(optimizer: Optimizer, step_size: int | None, gamma: float, max_epochs: int) -> StepLR:
    """Make a scheduler that multiplies the rate by `gamma` every `step_size` epochs; None: a third of `max_epochs`."""
    if step_size is not None and step_size < 1:
        raise ValueError(f"step_size is {step_size}; it must be at least 1")
    return StepLR(optimizer, max(1, max_epochs // 3) if step_size is None else step_size, gamma)


def one_cycle(
    optimizer: Optimizer, max_lr: float, total_steps: int, pct_start: float, div_factor: float, final_div_factor: float
) -> OneCycleLR:
    """Make a scheduler of one cycle over `total_steps` optimizer steps.

    The rate rises from max_lr / div_factor to max_lr, and falls to max_lr / div_factor / final_div_factor. Momentum is
    cycled inversely (0.95 to 0.85, torch's defaults) only if the optimizer uses momentum: torch would switch it on for
    plain SGD and RMSprop. Of several groups of parameters, `max_lr` is the first one's; the others keep their ratio.
    """
    groups = optimizer.param_groups
    first = groups[0]
    # torch cycles one kind of momentum, the same in all groups
    cycled = all("betas" in group for group in groups) or all(group.get("momentum", 0) > 0 for group in groups)
    alone = len(groups) == 1 or not first["lr"]
    return OneCycleLR(
        optimizer,
        max_lr=max_lr if alone else [max_lr * group["lr"] / first["lr"] for group in groups],
        total_steps=total_steps,
        pct_start=pct_start,
        div_factor=div_factor,
        final_div_factor=final_div_factor,
        cycle_momentum=cycled and ("betas" in optimizer.defaults or "momentum" in optimizer.defaults),
    )


def inverse_sqrt(optimizer: Optimizer, total_steps: int, hold_share: float) -> LambdaLR:
    """Make a scheduler of rates lr * sqrt(h / n) in optimizer step n, counted from 1, after h constant steps.

    h is `hold_share` of `total_steps`. With a warm-up of h steps, these are the rates of Vaswani et al. (2017).
    """
    hold = max(1, round(hold_share * total_steps))
    return LambdaLR(optimizer, lambda n: sqrt(hold / max(n + 1, hold)))


def wsd(
    optimizer: Optimizer,
    total_steps: int,
    warmup_share: float,
    decay_share: float,
    decay: Literal["linear", "sqrt"],
    final_factor: float,
) -> LambdaLR:
    """Make a scheduler that warms up, is constant, and decays, over shares of `total_steps` optimizer steps.

    Step n of a warm-up of w steps has the rate lr * n / w. In step n of a decay of d steps, both counted from 1, the
    rate falls from lr towards lr * `final_factor` by the share (n - 1) / d ("linear") or its square root ("sqrt").
    """
    if decay not in DECAYS:
        raise unknown_name(decay, "scheduler.decay", DECAYS)
    warmup, last = round(warmup_share * total_steps), round(decay_share * total_steps)

    def scale(n: int) -> float:
        if n < warmup:
            return (n + 1) / warmup
        if n < total_steps - last or not last:
            return 1.0
        share = min(1.0, (n - (total_steps - last)) / last)
        return 1 - (1 - final_factor) * (share if decay == "linear" else sqrt(share))

    return LambdaLR(optimizer, scale)
