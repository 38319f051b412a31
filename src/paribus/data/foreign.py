"""Read any LightningDataModule: its loaders, its batches, and what they say about its shapes."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from itertools import islice
from pkgutil import resolve_name
from typing import Any, Literal

import lightning
import torch
from lightning.pytorch.utilities import CombinedLoader
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch import Tensor

from paribus.data.module import InMemory
from paribus.errors import UserError, summarise_error
from paribus.randomness import seed_globally

Split = Literal["train", "val", "test"]
CLASSES = ("out_features", "num_classes", "n_classes")  # attributes that may give the number of classes
LOOKED_AT = 20  # batches, for the number of classes where nothing says it


class ForeignData:
    """A LightningDataModule that is no InMemory, or any that a LightningModule of the user's reads.

    The trainer gets `module` itself, with its own loaders. `adapter` turns each of its batches into what the network is
    given; with None they stay as they are. What is random in `setup` follows from the seed of the run. It is called
    once a stage, unless the module tears it down.

    Attributes:
        takes_inputs: whether a network takes the inputs of its batches by themselves, as instruments need it.
    """

    train = val = test = augment = None  # nothing of it is known to be in memory
    average_flips = False

    def __init__(self, module: lightning.LightningDataModule, adapter: Callable[[Any], Any] | None, seed: int):
        self.module = module
        self.adapter = adapter
        self.seed = seed
        self.takes_inputs = True
        self._ready: set[str] = set()
        self._known: dict[str, Any] = {}  # from the checkpoint of a run
        self._setup, self._teardown = module.setup, module.teardown
        module.setup, module.teardown = self.setup, self.teardown  # type: ignore[method-assign]
        if adapter is not None:
            self._transferred = module.on_after_batch_transfer
            module.on_after_batch_transfer = self._adapt_transferred  # type: ignore[method-assign]

    def _adapt_transferred(self, batch: Any, dataloader_idx: int) -> Any:
        return self.adapt(self._transferred(batch, dataloader_idx))

    def adapt(self, batch: Any) -> Any:
        return batch if self.adapter is None else self.adapter(batch)

    @property
    def name(self) -> str:
        return type(self.module).__name__

    def is_available(self) -> bool:
        """Return whether `setup` can read the data without a download, as far as is known."""
        return self.module.is_available() if isinstance(self.module, InMemory) else True

    def prepare_data(self) -> None:
        self.module.prepare_data()

    def setup(self, stage: str) -> None:
        if stage not in self._ready:
            seed_globally(self.seed, "split")
            self._setup(stage)
            self._ready.add(stage)

    def teardown(self, stage: str) -> None:
        self._teardown(stage)
        if type(self.module).teardown is not lightning.LightningDataModule.teardown:
            self._ready.discard(stage)

    @property
    def fingerprint(self) -> str:
        """The hash of the data that the module gives; empty where it gives none."""
        return str(getattr(self.module, "fingerprint", None) or "")

    @property
    def class_names(self) -> list[str] | None:
        return getattr(self.module, "class_names", None)

    def make_loader(self, split: Split) -> Any:
        """Return the loader of a part, or the first of several; None where there is none."""
        if not is_overridden(f"{split}_dataloader", self.module):
            return None
        loader = getattr(self.module, f"{split}_dataloader")()
        return (loader[0] if loader else None) if isinstance(loader, list | tuple) else loader

    def iterate(self, split: Split) -> Iterator[Any]:
        """Yield the batches of a part as a network gets them, on the CPU."""
        loader = self.make_loader(split)
        yield from map(self.adapt, () if loader is None else loader)

    def count(self, split: Split) -> int | None:
        """Count the samples of a part; None where that is not known."""
        if isinstance(self.module, InMemory):
            return self.module.count(split)
        loader = self.make_loader(split)
        if loader is None:
            return 0
        with suppress(TypeError, AttributeError, NotImplementedError):
            return len(loader.dataset)
        return None

    def get_first_inputs(self, split: Split, n: int) -> Tensor | None:
        """Return up to `n` inputs of a part, as far as the first batches have them by themselves; None if not."""
        found: list[Tensor] = []
        for batch in islice(self.iterate(split), n):
            inputs = batch[0] if isinstance(batch, list | tuple) and batch else batch
            if not isinstance(inputs, Tensor) or not inputs.ndim or (found and inputs.shape[1:] != found[0].shape[1:]):
                break
            found.append(inputs)
            if sum(map(len, found)) >= n:
                break
        return torch.cat(found)[:n] if found else None

    def get_probe(self, n: int) -> Tensor | None:
        """Return up to `n` inputs of validation samples; None where there are none that a network takes."""
        return self.get_first_inputs("val", n) if self.takes_inputs else None

    def get_training_probe(self, n: int) -> None:
        """Return None: to read training samples of a loader would draw from its random numbers."""

    def require_pairs(self) -> None:
        """Raise UserError unless training and validation have a loader each, of pairs that a network trains on."""
        for split in ("train", "val"):
            if is_overridden(f"{split}_dataloader", self.module):
                loader = getattr(self.module, f"{split}_dataloader")()
                several = isinstance(loader, list | tuple) and len(loader) > 1
                if several or isinstance(loader, Mapping | CombinedLoader):
                    raise UserError(f"data: {split}_dataloader of {self.name} gives several; a network takes one.")
        self._require_pair(next(self.iterate("val"), self._first_pair))

    @cached_property
    def _first_pair(self) -> tuple[Tensor, Tensor]:
        """The first training batch."""
        return self._require_pair(next(self.iterate("train"), None))

    def _require_pair(self, batch: Any) -> tuple[Tensor, Tensor]:
        """Return inputs and targets. Raises UserError unless the batch is a pair that a network of ours trains on."""
        pair = isinstance(batch, list | tuple) and len(batch) == 2 and all(isinstance(part, Tensor) for part in batch)
        remedy = (
            "Name a function that turns a batch into (inputs, targets) in the YAML of the data: adapter: "
            "package.module.function."
        )
        if batch is None or not pair:
            raise UserError(
                f"data: a batch of {self.name} is {_describe(batch)}; a network trains on pairs of tensors, inputs and "
                f"targets. {remedy}"
            )
        inputs, targets = batch
        whole = targets.dtype == torch.int64
        if targets.shape != inputs.shape[:1] or not (whole or targets.is_floating_point()):
            raise UserError(
                f"data: {self.name} gives inputs {tuple(inputs.shape)} with targets {tuple(targets.shape)} of "
                f"{targets.dtype}; a network trains on targets of shape ({len(inputs)},): class numbers (torch.int64), "
                f"or floats. {remedy}"
            )
        return inputs, targets

    @property
    def task(self) -> str:
        found = self._known.get("task", getattr(self.module, "task", None))
        return found or ("regression" if self._first_pair[1].is_floating_point() else "classification")

    @property
    def in_shape(self) -> tuple[int, ...]:
        found = self._known.get("in_shape", getattr(self.module, "in_shape", None))
        return tuple(found) if found is not None else tuple(self._first_pair[0].shape[1:])

    @property
    def out_features(self) -> int:
        found = self._known.get("out_features", self._named_classes)
        if found is not None:
            return int(found)
        if self.task == "regression":
            return 1
        classes = self._find_class_names()
        return len(classes) if classes else self._guess_classes

    @property
    def _named_classes(self) -> int | None:
        """The number of classes that the module gives, if it does."""
        named = (getattr(self.module, name, None) for name in CLASSES)
        return next((number for number in named if number is not None), None)

    @cached_property
    def _guess_classes(self) -> int:
        highest = [int(targets.max()) for _, targets in islice(self.iterate("train"), LOOKED_AT)]
        return max(highest) + 1

    def _find_class_names(self) -> Any:
        """Return the names of the classes that the training set has, as torchvision's do, also below a Subset."""
        dataset = getattr(self.make_loader("train"), "dataset", None)
        while dataset is not None and not hasattr(dataset, "classes"):
            dataset = getattr(dataset, "dataset", None)
        return getattr(dataset, "classes", None)

    def statistics(self) -> dict[str, Any]:
        """Return what is needed to rebuild a network without the data, for checkpoints."""
        if isinstance(self.module, InMemory):
            return self.module.statistics()
        return {"task": self.task, "in_shape": list(self.in_shape), "out_features": self.out_features}

    def restore(self, statistics: dict[str, Any]) -> None:
        if isinstance(self.module, InMemory):
            self.module.restore(statistics)
        else:
            self._known = statistics

    def inputs(self, raw: Any) -> Tensor:
        return self.module.inputs(raw) if isinstance(self.module, InMemory) else torch.as_tensor(raw)

    def list_limits(self) -> list[str]:
        """Return a sentence for each thing that cannot be promised for these data."""
        limits = []
        if not self.fingerprint:
            limits.append(f"{self.name} gives no hash (fingerprint) of its data: a change of them would go unnoticed.")
        loader = self.make_loader("train")
        if getattr(loader, "generator", None) is not None and not isinstance(self.module, InMemory):
            limits.append(
                "The training loader has a generator of its own: a resumed run sees another order of samples."
            )
        if getattr(loader, "persistent_workers", False):
            limits.append("The loader keeps its workers: what they draw differs in a resumed run.")
        return limits

    def find_guess(self) -> str | None:
        """Say that the number of classes is only a guess, if it is."""
        if self._named_classes is not None or self.task == "regression" or self._find_class_names():
            return None
        return (
            f"{self.out_features} classes, as the first {LOOKED_AT} batches have; give {self.name} an attribute "
            "num_classes if there are more."
        )


def find_adapter(name: Any) -> Callable[[Any], Any] | None:
    """Return the function that data.adapter names. Raises UserError where there is none."""
    if name is None:
        return None
    try:
        found = resolve_name(str(name))
    except Exception as error:  # noqa: BLE001  a module may raise anything when it is imported
        raise UserError(f"data.adapter={name}: {summarise_error(error)}") from None
    if not callable(found):
        raise UserError(f"data.adapter={name} is a {type(found).__name__}; it must be a function of a batch.")
    return found


def _describe(batch: Any) -> str:
    if isinstance(batch, Mapping):
        return f"a dictionary ({', '.join(map(str, batch))})"
    if isinstance(batch, list | tuple):
        parts = ", ".join(type(part).__name__ for part in batch)
        return f"a {type(batch).__name__} of {len(batch)} ({parts})"
    return "missing (the training loader is empty)" if batch is None else f"a {type(batch).__name__}"
