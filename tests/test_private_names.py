"""Names that libraries do not promise to keep: which an upgrade has removed, and that no others are used."""

import ast
import sys
from collections.abc import Iterator

import lightning
import torch
import torchmetrics.utilities.plot
from conftest import ROOT
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra._internal.hydra import Hydra
from lightning.pytorch.loops import _FitLoop, _TrainingEpochLoop
from omegaconf import DictConfig
from torch.utils.tensorboard import SummaryWriter

from paribus.private_names import GRAPH_CHECKS, HOOK_NAME

USED = [
    (ConfigLoaderImpl, "_apply_overrides_to_config"),
    (DictConfig, "_get_parent"),
    (DictConfig, "_set_parent"),
    (DictConfig, "_get_root"),
    (torch.optim.Optimizer, next((n for n in GRAPH_CHECKS if hasattr(torch.optim.Optimizer, n)), GRAPH_CHECKS[0])),
    (torch, "_foreach_norm"),
    (torchmetrics, "_logger"),
    (torchmetrics.utilities.plot, "_AX_TYPE"),
    (torchmetrics.utilities.plot, "_PLOT_OUT_TYPE"),
    (_TrainingEpochLoop, "_broadcast_sigterm_tensor"),
    (SummaryWriter, "_get_file_writer"),  # overridden in loggers/writer.py
    (_FitLoop(lightning.Trainer(logger=False)), "_data_fetcher"),
    (lightning.LightningModule(), HOOK_NAME),
    (FileConfigSource, "load_config"),  # of tests alone: tests/commands.py
    (Hydra, "get_mode"),
]
PUBLIC = {"_exit", "_replace"}  # of os and of named tuples, by their documentation
PRIVATE_MODULES = {"hydra._internal.config_loader_impl"}


def find_private_names(tree: ast.AST) -> Iterator[str]:
    """Attributes and imports with a leading underscore, of other objects than self and cls."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            if not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")):
                yield node.attr
        elif isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("paribus"):
            if any(part.startswith("_") and not part.startswith("__") for part in (node.module or "").split(".")):
                yield node.module or ""
            yield from (alias.name for alias in node.names if alias.name.startswith("_"))


def test_no_upgrade_has_removed_a_private_name() -> None:
    removed = [f"{getattr(owner, '__name__', owner)}.{name}" for owner, name in USED if not hasattr(owner, name)]
    assert not removed, f"{', '.join(removed)}: see src/paribus/private_names.py for what used it"


def test_no_private_name_is_used_elsewhere() -> None:
    found = {
        path.relative_to(ROOT / "src").as_posix(): names
        for path in sorted((ROOT / "src").rglob("*.py"))
        if (names := set(find_private_names(ast.parse(path.read_text(encoding="utf-8")))) - PUBLIC)
    }
    allowed = {name for _, name in USED} | PRIVATE_MODULES
    assert set(found.pop("paribus/private_names.py")) <= allowed
    assert found == {}


def test_the_module_waits_for_no_library() -> None:
    source = (ROOT / "src/paribus/private_names.py").read_text(encoding="utf-8")
    imported = {node.module for node in ast.parse(source).body if isinstance(node, ast.ImportFrom)}
    assert {name for name in imported if name.partition(".")[0] not in sys.stdlib_module_names} == set()
