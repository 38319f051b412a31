"""Let Lightning's finders choose a learning rate or a batch size before the run that uses them."""

import copy
import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import BatchSizeFinder, Callback, LearningRateFinder
from omegaconf import OmegaConf

from paribus.config.compose import to_resolved
from paribus.config.targets import find_callable
from paribus.data.foreign import ForeignData
from paribus.data.module import InMemory
from paribus.errors import UserError
from paribus.record import use_current_targets
from paribus.run.build import build_callbacks, build_initial, build_trainer
from paribus.run.spec import Job

log = logging.getLogger(__name__)
FINDERS = (BatchSizeFinder, LearningRateFinder)  # in the order in which they are used: the rate is for the batch size


class EndAtStart(Callback):
    """End a fit before its first step; Lightning calls finders before other callbacks."""

    def on_fit_start(self, trainer: Trainer, learner: LightningModule) -> None:
        trainer.should_stop = True


def select_finders(config: Mapping[str, Any]) -> dict[str, type[Callback]]:
    """Return the finders among the callbacks of a configuration, by name. Raises UserError for one that is altered."""
    found = {}
    for name, node in config["callbacks"].items():
        kind = find_callable(node["_target_"], f"callbacks.{name}")
        if isinstance(kind, type) and issubclass(kind, FINDERS):
            if kind not in FINDERS:
                raise UserError(
                    f"callbacks.{name}: {kind.__name__} is a finder of its own kind, which would change a run while it "
                    "is recorded. Take Lightning's own class, which is used before the run."
                )
            found[name] = kind
    return dict(sorted(found.items(), key=lambda pair: FINDERS.index(pair[1])))


def find_values(job: Job, config: Mapping[str, Any], data: InMemory | ForeignData, processes: int) -> dict[str, Any]:
    """Run the finders of a configuration on a network that is thrown away; return what they found, by dotted key."""
    found: dict[str, Any] = {}
    for name, kind in select_finders(config).items():
        if isinstance(data, ForeignData):
            raise UserError(
                f"callbacks.{name}: finders work with the data in memory and networks of Paribus, not with a "
                "LightningModule or LightningDataModule of its own. Leave it out."
            )
        if processes > 1:
            raise UserError(f"callbacks.{name}: finders use one process. Leave it out, or choose trainer=auto.")
        if config["trainer"].get("fast_dev_run"):
            continue  # as Lightning does
        node = config["callbacks"][name]
        key = "data.batch_size" if kind is BatchSizeFinder else "optim.lr"
        if key == "optim.lr" and "lr" not in config["optim"]:
            raise UserError(f"callbacks.{name}: {config['optim']['_target_']} takes no optim.lr that could be found.")
        adjusted = apply_found(job, config, found, data)
        value = _find(name, node, kind, adjusted, data)
        if value is None:
            raise UserError(f"callbacks.{name} found no {key}: give it more num_training_steps, or set {key} itself.")
        if not node.get("update_attr", True):
            log.info("callbacks.%s suggests %s=%.3g, and leaves it at %s.", name, key, value, config["optim"]["lr"])
            continue
        log.info("callbacks.%s found %s=%.3g.", name, key, value)
        found[key] = value
    return found


def _find(name: str, node: Mapping[str, Any], kind: type[Callback], config: Mapping[str, Any], data: InMemory) -> Any:
    alone = {"callbacks": {name: node}, "logger": {}}
    trainer_options = {key: value for key, value in config["trainer"].items() if key not in ("min_epochs", "min_steps")}
    _, (finder,) = build_callbacks(alone)
    learner, _ = build_initial(config, data)
    with tempfile.TemporaryDirectory() as directory:
        trainer = build_trainer({**alone, "trainer": trainer_options}, Path(directory), [finder, EndAtStart()])
        trainer.fit(learner, datamodule=data)
    assert data.train is not None
    if isinstance(finder, BatchSizeFinder):
        return min(finder.optimal_batch_size or 1, len(data.train[0]))  # it does not see how many samples there are
    assert isinstance(finder, LearningRateFinder)
    return finder.optimal_lr.suggestion() if finder.optimal_lr is not None else None


def apply_found(
    job: Job, config: Mapping[str, Any], found: Mapping[str, Any], data: InMemory | ForeignData
) -> dict[str, Any]:
    """Return the configuration with what finders found, and without them; give `data` the batch size."""
    finders = select_finders(config)
    if not finders or isinstance(data, ForeignData):
        return dict(config)
    composed = copy.deepcopy(job.composed)
    for key, value in found.items():  # before interpolations are resolved: a schedule's max_lr may be optim.lr
        OmegaConf.update(composed, key, value)
    resolved = use_current_targets(to_resolved(composed))
    data.batch_size = resolved["data"]["batch_size"]
    callbacks = {name: node for name, node in resolved["callbacks"].items() if name not in finders}
    return {**resolved, "callbacks": callbacks, "threads": config["threads"], "trainer": config["trainer"]}
