"""Make the learning rate schedulers whose defaults depend on the run; conf/scheduler/ names torch's own."""

from torch.optim import Optimizer
from torch.optim.lr_scheduler import OneCycleLR, StepLR


def step(optimizer: Optimizer, step_size: int | None, gamma: float, max_epochs: int) -> StepLR:
    """Make a scheduler that multiplies the rate by `gamma` every `step_size` epochs; None: a third of `max_epochs`."""
    if step_size is not None and step_size < 1:
        raise ValueError(f"step_size is {step_size}; it must be at least 1")
    return StepLR(optimizer, max(1, max_epochs // 3) if step_size is None else step_size, gamma)


def one_cycle(
    optimizer: Optimizer,
    max_lr: float,
    total_steps: int,
    pct_start: float,
    div_factor: float,
    final_div_factor: float,
) -> OneCycleLR:
    """Make a scheduler of one cycle over `total_steps` optimizer steps.

    The rate rises from max_lr / div_factor to max_lr, and falls to max_lr / div_factor / final_div_factor. Momentum is
    cycled inversely (0.95 to 0.85, torch's defaults) only if the optimizer uses momentum: torch would switch it on for
    plain SGD and RMSprop.
    """
    group = optimizer.param_groups[0]
    return OneCycleLR(
        optimizer,
        max_lr=max_lr,
        total_steps=total_steps,
        pct_start=pct_start,
        div_factor=div_factor,
        final_div_factor=final_div_factor,
        cycle_momentum="betas" in group or group.get("momentum", 0) > 0,
    )
