"""Use what libraries do not promise to keep, where a measured time depends on it, or no public name gives the same.

Nowhere else are such names used. tests/test_private_names.py says which of them an upgrade has removed. Libraries are
imported within functions, so that a command does not wait for one that it does not need.
"""

import gc
import logging
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
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


def compute_norms(tensors: "list[Tensor]", order: int, dtype: Any = None) -> "tuple[Tensor, ...]":
    """Return the norm of each tensor. On a GPU that is a launch or two, where a call a tensor launches one each."""
    import torch

    return torch._foreach_norm(tensors, order, dtype=dtype)


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


class _Deferred(ModuleType):
    """A module that is imported once a name is looked up in it that it has not been given."""

    def __getattr__(self, name: str) -> Any:
        if name == "__path__":  # by which Python asks whether it is a package
            raise AttributeError(name)
        _load(self)
        return getattr(self, name)


def _defer(name: str, path: Sequence[str] | None = None) -> Any:
    """Put a deferred module into sys.modules; `path`: where to find it, of a module in a package."""
    spec = PathFinder.find_spec(name, path)
    assert spec is not None
    sys.modules[name] = module = module_from_spec(spec)
    module.__class__ = _Deferred
    return module


def _load(module: ModuleType) -> None:
    """Import a deferred module, unless it is imported, without the garbage collector, as process.importing_torch."""
    if type(module) is not _Deferred:
        return
    assert module.__spec__ is not None and module.__spec__.loader is not None
    module.__class__ = ModuleType  # type: ignore[assignment]  # from here on a module that is being imported
    collects = gc.isenabled()
    gc.disable()
    try:
        module.__spec__.loader.exec_module(module)
    finally:
        if collects:
            gc.enable()


def _plot(*arguments: Any, **options: Any) -> Any:
    plot: Any = sys.modules["torchmetrics.utilities.plot"]
    _load(plot)
    return plot.plot_single_or_multi_val(*arguments, **options)


def import_lightning() -> None:
    """Import Lightning, and of torchmetrics only the two classes that it needs, until somebody asks for more.

    torchmetrics imports scipy, torchvision, matplotlib and whatever else is installed, for metrics of sound, images and
    text: 1.6 s of the 3.2 s of CPU time that Lightning takes beside torch. As a package in which any other name is
    looked up, it imports the rest of itself first, and is then as it would have been; likewise its module that plots.
    """
    if "torchmetrics" not in sys.modules:
        package = _defer("torchmetrics")
        package._logger = logging.getLogger("torchmetrics")  # what its modules import
        plot = _defer("torchmetrics.utilities.plot", [f"{package.__path__[0]}/utilities"])
        plot._AX_TYPE = plot._PLOT_OUT_TYPE = Any  # of annotations
        plot.plot_single_or_multi_val = _plot
        package.__version__ = import_module("torchmetrics.__about__").__version__
        utilities: Any = import_module("torchmetrics.utilities")  # before the next, which it needs while it is imported
        utilities.plot = plot
        package.Metric = import_module("torchmetrics.metric").Metric
        package.MetricCollection = import_module("torchmetrics.collections").MetricCollection
    import lightning  # noqa: F401
