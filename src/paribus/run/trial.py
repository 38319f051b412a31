"""Build what a run trains with, and train nothing."""

from collections.abc import Mapping, Sized
from typing import Any

from paribus.data.foreign import ForeignData
from paribus.data.module import InMemory
from paribus.randomness import restoring_seed_variables
from paribus.run.build import build_callbacks, build_data, build_initial
from paribus.run.factory import is_foreign
from paribus.run.foreign import try_module
from paribus.run.metric import choose_metric
from paribus.training.learner import Learner


def try_building(
    config: Mapping[str, Any], data: InMemory | ForeignData | None = None
) -> tuple[InMemory | ForeignData, Learner | None] | None:
    """Build what a run trains with. Return None where its data have to be downloaded first.

    A LightningModule that is none of Paribus' own makes a step, and is not returned. `data` stands for the data module,
    where another run has read the same. Raises UserError for what cannot be built.
    """
    _, callbacks = build_callbacks(config)
    with restoring_seed_variables():
        data = data or build_data(config)
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
        learner.make_scheduler(optimizer, len(loader) * config["trainer"]["max_epochs"])
    return data, learner
