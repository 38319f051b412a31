"""Build what a run trains with, and train nothing."""

from collections.abc import Mapping, Sized
from pathlib import Path
from typing import Any

from paribus.data.foreign import ForeignData
from paribus.data.module import InMemory
from paribus.process import silence_libraries
from paribus.randomness import restoring_seed_variables
from paribus.run.build import build_callbacks, build_data, build_initial, build_loggers, build_trainer, check_devices
from paribus.run.factory import is_foreign
from paribus.run.foreign import refuse_seeds, try_module
from paribus.run.metric import choose_metric
from paribus.training.learner import Learner


def try_building(
    config: Mapping[str, Any], data: InMemory | ForeignData | None = None, with_trainer: bool = True
) -> tuple[InMemory | ForeignData, Learner | None] | None:
    """Build what a run trains with. Return None where its data have to be downloaded first.

    A LightningModule that is none of Paribus' own makes a step, and is not returned. `data` stands for the data module,
    where another run has read the same. Without `with_trainer`, the trainer's device may be missing here: the run is
    for another machine. Raises UserError for what cannot be built.
    """
    silence_libraries()
    _, callbacks = build_callbacks(config)
    build_loggers(config, Path())
    if with_trainer:
        trainer = build_trainer({**config, "logger": {}}, Path(), [])
        check_devices(trainer, config, trainer.world_size if config["trainer"].get("strategy", "auto") != "auto" else 1)
    with restoring_seed_variables():
        data = data or build_data(config)
        refuse_seeds(config, data)
        if not data.is_available():
            return None
        if isinstance(data, ForeignData):
            data.prepare_data()
        data.setup("fit")
        if is_foreign(config):
            assert isinstance(data, ForeignData)
            choose_metric(config, try_module(config, data).columns, callbacks)
            return data, None
        learner, _ = build_initial(config, data)
        choose_metric(config, learner.columns, callbacks)
    optimizer = learner.build_optimizer(learner.parameters())
    loader = data.train_dataloader() if isinstance(data, InMemory) else data.make_loader("train")
    if learner.make_scheduler is not None and isinstance(loader, Sized):
        steps = -(-len(loader) // (config["trainer"].get("accumulate_grad_batches") or 1))
        learner.make_scheduler(optimizer, steps * config["trainer"]["max_epochs"])
    return data, learner
