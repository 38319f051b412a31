"""Each run's own optimizer and scheduler: where a stack reads learning rates and options."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from paribus.training.learner import Learner


class Sources:
    """Each run's optimizer and scheduler. The optimizer never moves a weight: it gives learning rate and options.

    Runs with the same configuration share a pair.

    Args:
        runs: configuration and learner of each run.
        steps: number of optimizer steps of a whole run.
    """

    def __init__(self, runs: Sequence[tuple[Mapping[str, Any], Learner]], steps: int):
        built: dict[str, tuple[Optimizer, LRScheduler | None]] = {}
        self.learners = [learner for _, learner in runs]
        self.by_run: list[tuple[Optimizer, LRScheduler | None]] = []
        for config, learner in runs:
            key = json.dumps([config["optim"], config["scheduler"], config.get("warmup")], sort_keys=True)
            if key not in built:
                optimizer = learner.build_optimizer(learner.network.parameters())
                make_scheduler = learner.make_scheduler
                built[key] = optimizer, None if make_scheduler is None else make_scheduler(optimizer, steps)
            self.by_run.append(built[key])
        self.distinct = list(built.values())
        self.groups = locate_groups(self.by_run[0][0], self.learners[0].network)

    @property
    def optimizers(self) -> list[Optimizer]:
        return [optimizer for optimizer, _ in self.by_run]

    def build(self, k: int, parameters: Sequence[nn.Parameter]) -> Optimizer:
        """Build another optimizer like the k-th run's, of these parameters."""
        return self.learners[k].build_optimizer(parameters)

    def advance(self) -> bool:
        """Step all schedulers. Return whether there are any."""
        for _, scheduler in self.distinct:
            if scheduler is not None:
                scheduler.step()
        return any(scheduler is not None for _, scheduler in self.distinct)

    def get_rates(self) -> list[float]:
        """Return each run's learning rate."""
        return [float(optimizer.param_groups[0]["lr"]) for optimizer, _ in self.by_run]

    def get_momenta(self) -> list[float | None]:
        """Return each run's momentum, or Adam's first beta; None for optimizers without momentum."""
        groups = [optimizer.param_groups[0] for optimizer, _ in self.by_run]
        return [group["betas"][0] if "betas" in group else group.get("momentum") for group in groups]

    def load(self, checkpoints: Sequence[Mapping[str, Any]]) -> None:
        """Load optimizer options and scheduler states from the checkpoint of each run."""
        loaded: set[int] = set()
        for (optimizer, scheduler), stored in zip(self.by_run, checkpoints, strict=True):
            if id(optimizer) in loaded:
                continue
            loaded.add(id(optimizer))
            groups = stored["optimizer_states"][0]["param_groups"]
            for group, saved in zip(optimizer.param_groups, groups, strict=True):
                group.update({key: value for key, value in saved.items() if key != "params"})
            if scheduler is not None:
                scheduler.load_state_dict(stored["lr_schedulers"][0])


def locate_groups(optimizer: Optimizer, network: nn.Module) -> list[list[int]]:
    """Return the positions, among the network's parameters, of those in each group of the optimizer."""
    positions = {id(parameter): i for i, parameter in enumerate(network.parameters())}
    return [[positions[id(parameter)] for parameter in group["params"]] for group in optimizer.param_groups]
