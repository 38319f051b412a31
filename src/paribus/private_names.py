"""Use what libraries do not promise to keep, where a measured time depends on it, or no public name gives the same.

Nowhere else are such names used. tests/test_private_names.py says which of them an upgrade has removed. Libraries are
imported within functions, so that a command does not wait for one that it does not need.
"""

import gc
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override
    from lightning import Trainer
    from omegaconf import DictConfig
    from torch import Tensor
    from torch.optim import Optimizer

# Lightning notes here in which hook of a module it is, forty times a step. Past nn.Module, which looks whether that is
# a parameter, each takes 0.14 µs instead of 1.35: 48 µs less a step.
HOOK_NAME = "_current_fx_name"
# The second is the name in older releases, such as torch 2.6.
GRAPH_CHECKS = ("_accelerator_graph_capture_health_check", "_cuda_graph_capture_health_check")


def apply_overrides(overrides: "Sequence[Override]", config: "DictConfig") -> None:
    """Set values in a composed configuration, in place.

    Takes 10 ms a run, where Hydra's composition takes 0.1 to 0.2 s: 45 s of a study of 500 runs at least.
    """
    from hydra._internal.config_loader_impl import ConfigLoaderImpl

    ConfigLoaderImpl._apply_overrides_to_config(list(overrides), config)


def resolve_below_root(node: "DictConfig", name: str, key: str) -> Any:
    """Return node[key] resolved and plain, with `node` called `name` in interpolations.

    Takes 0.9 ms; in a copy of the node, as the public functions make it, 4.7 ms: 1.9 s of a study of 500 runs.
    """
    from omegaconf import OmegaConf

    root, parent = OmegaConf.create(flags={"no_deepcopy_set_nodes": True}), node._get_parent()
    try:
        root[name] = node
        return OmegaConf.to_container(root[name][key], resolve=True)
    finally:
        node._set_parent(parent)


def find_root(node: "DictConfig") -> Any:
    """Return the whole configuration of which `node` is a part.

    An error of OmegaConf has the node alone, and no public name of OmegaConf leads from a node upwards.
    """
    return node._get_root()


def skip_graph_check(optimizer: "Optimizer") -> None:
    """Spare an optimizer on the CPU the question whether a GPU records a graph of its step.

    A step of fused Adam takes 33 µs without the question and 161 µs with it, where torch has been built for GPUs.
    """
    for name in GRAPH_CHECKS:
        if hasattr(optimizer, name):
            setattr(optimizer, name, lambda: None)


def compute_norms(tensors: "Sequence[Tensor]", order: int, dtype: Any = None) -> "tuple[Tensor, ...]":
    """Return the norm of each tensor.

    Takes 14 µs for the six tensors of the regression net, where one call a tensor takes 19 µs: in each step.
    """
    import torch

    return torch._foreach_norm(tensors, order, dtype=dtype)  # type: ignore[arg-type,return-value]


def skip_sigterm_broadcast(trainer: "Trainer") -> None:
    """Have the ranks of a run not ask each other in every step whether one of them has received SIGTERM.

    The answer is awaited on the device: 15 % of an MLP's step over two ranks on the CPU (median of 10 epochs each). The
    failure of another rank would be taken for a no.
    """
    trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]


def renew_iterator(trainer: "Trainer") -> None:
    """Have the loader of the epoch that begins start anew, with the random numbers of this moment.

    Lightning makes the iterator of a resumed run's first epoch before the epoch begins, and of any later epoch after:
    a loader that shuffles would draw another order than in a run that was never interrupted.
    """
    iter(trainer.fit_loop._data_fetcher)  # type: ignore[arg-type]


class _DeferredTorchmetrics(ModuleType):
    """The package torchmetrics, of which most is imported once something asks for more than Lightning does."""

    def __getattr__(self, name: str) -> Any:
        assert self.__spec__ is not None and self.__spec__.loader is not None
        self.__class__ = ModuleType  # type: ignore[assignment]  from here on a package that is being imported
        collects = gc.isenabled()
        gc.disable()  # as in process.importing_torch
        try:
            self.__spec__.loader.exec_module(self)
        finally:
            if collects:
                gc.enable()
        return getattr(self, name)


def import_lightning() -> None:
    """Import Lightning, and of torchmetrics only the two classes that it needs, until somebody asks for more.

    torchmetrics imports scipy, torchvision and whatever else is installed, for metrics of sound, images and text:
    1.3 s of 3.2 s of CPU time for Lightning without torch. As a package in which any other name is looked up, it
    imports the rest of itself first, and is then as it would have been.
    """
    if "torchmetrics" not in sys.modules:
        import logging
        from importlib import import_module
        from importlib.util import find_spec, module_from_spec

        spec = find_spec("torchmetrics")
        assert spec is not None  # Lightning requires it
        package = module_from_spec(spec)
        package.__class__ = _DeferredTorchmetrics
        package._logger = logging.getLogger("torchmetrics")  # type: ignore[attr-defined]  what its modules import
        sys.modules["torchmetrics"] = package
        package.__version__ = import_module("torchmetrics.__about__").__version__  # type: ignore[attr-defined]
        import_module("torchmetrics.utilities")  # before the next: they import each other, and this order works
        package.Metric = import_module("torchmetrics.metric").Metric  # type: ignore[attr-defined]
        package.MetricCollection = import_module("torchmetrics.collections").MetricCollection  # type: ignore[attr-defined]
    import lightning  # noqa: F401
