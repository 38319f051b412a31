"""Prepare a run for training: choose its threads, build its parts, describe it for checkpoints."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import lightning
import torch

from paribus import record
from paribus.data.foreign import ForeignData
from paribus.data.module import InMemory
from paribus.errors import UserError
from paribus.instruments.instrument import Instrument
from paribus.loggers.hyperparameters import Hyperparameters
from paribus.models import layers
from paribus.run.build import build_callbacks, build_data, build_initial, require_accelerator
from paribus.run.checks import check_batch_norm
from paribus.run.factory import is_foreign
from paribus.run.finders import apply_found, find_values
from paribus.run.foreign import build_foreign, list_data_limits, refuse_activation, refuse_ranks, refuse_seeds
from paribus.run.lifecycle import SummaryKeeper
from paribus.run.metric import choose_metric
from paribus.run.ranks import count_ranks
from paribus.run.resume import ResumePoint
from paribus.run.spec import Job
from paribus.training.foreign import ForeignLearner
from paribus.training.learner import Learner, Regressor

log = logging.getLogger(__name__)
THREADS = torch.get_num_threads()  # read before a run of this process sets another number


def choose_threads(job: Job, resume_point: ResumePoint | None) -> int | None:
    """Return the number of threads of the configuration, else of the resume point, else of the launcher.

    Another number than before would change the last digits of a resumed run.
    """
    if job.config["threads"] is not None:
        return int(job.config["threads"])
    return resume_point.threads if resume_point else job.threads


@dataclass
class Prepared:
    """The parts of a run before training.

    Attributes:
        config: the resolved configuration, with the number of threads and what finders found.
        processes: the number of processes that train the run.
        data: the data module, with its data read.
        learner: the learner with its untrained network and its weight layers.
        description: the description of the run that checkpoints store.
        metric: the metric by which its epochs are compared; None: val/acc, or val/loss.
        instruments: the configured instruments, by name.
        callbacks: the other configured callbacks.
    """

    config: dict[str, Any]
    processes: int
    data: InMemory | ForeignData
    learner: Learner | ForeignLearner
    description: dict[str, Any]
    metric: record.Metric | None
    instruments: dict[str, Instrument]
    callbacks: list[lightning.Callback]


def prepare(job: Job, resume_point: ResumePoint | None, keeper: SummaryKeeper, stacked: int | None = None) -> Prepared:
    """Build the parts of a run, add what is known of it to its summary, and log the network."""
    summary = keeper.summary
    config = {**job.config, "threads": choose_threads(job, resume_point)}
    require_accelerator(config)
    processes = count_ranks(config)
    torch.set_num_threads(config["threads"] or max(1, THREADS // (processes // config["trainer"].get("num_nodes", 1))))

    data = build_data(config)
    refuse_ranks(config, data, processes)
    refuse_seeds(config, data)
    seeds = summary["seeds"] = record.resolve_seeds(config)
    if isinstance(data, ForeignData):
        seeds["order"] = seeds["augmentation"] = seeds["dropout"]  # of the generators that its loaders draw from
    data.prepare_data()
    data.setup("fit")
    counts: dict[str, int | None] = {"train": data.count("train"), "val": data.count("val")}
    summary["data"] = {"sha256": data.fingerprint, **counts}
    if resume_point is not None and resume_point.data != data.fingerprint:
        raise UserError(
            f"The data have changed since the run started (their hash was {resume_point.data[:8]}, is now "
            f"{data.fingerprint[:8]}). Restore them, or remove {job.directory} to train the run again."
        )

    found = find_values(job, config, data, processes) if resume_point is None else resume_point.found
    if found:
        summary["found"] = found
    config = apply_found(job, config, found, data)

    learner: Learner | ForeignLearner
    instruments, callbacks = build_callbacks(config)
    if is_foreign(config):
        assert isinstance(data, ForeignData)
        refuse_activation(job.overrides, config)
        learner, calls, limits = build_foreign(config, data)
    else:
        learner, calls = build_initial(config, data)
        limits = list_data_limits(data)
    metric = choose_metric(config, learner.columns, callbacks)
    network = learner.network
    learner.layers = layers.find_weight_layers(network, calls)
    learner.initial = {layer.path: layer.weight.detach().clone() for layer in learner.layers}
    parameters = sum(p.numel() for p in network.parameters())
    table = layers.format_table(calls, parameters)
    log.info("%s\n%s", type(network).__name__, table, extra={"once": table})
    del calls  # they hold the activations
    summary["statistics"] = {"parameters": parameters}
    if limits:
        summary["limits"] = limits
        log.info("What cannot be promised: %s", " ".join(limits))
    if metric is not None:
        summary["metric"] = {"name": metric.column, "direction": metric.direction}
    target_mean = None
    if isinstance(learner, Regressor) and isinstance(data, InMemory):
        assert data.train is not None and data.val is not None
        target_mean = float(data.train[1].double().mean())
        if len(data.val[0]):
            constant = learner.loss.find_output(torch.full_like(data.val[1], target_mean))
            baseline = learner.loss(constant, data.val[1])
            summary["statistics"]["baseline_val_loss"] = float(baseline)
    elif isinstance(data, InMemory) and data.task == "classification":
        assert data.train is not None and data.val is not None
        if len(data.val[0]):
            frequent = torch.bincount(data.train[1]).argmax()  # what a network that ignores its input can learn at best
            summary["statistics"]["baseline_val_acc"] = float((data.val[1] == frequent).double().mean())
    check_batch_norm(network, data, processes, bool(config["trainer"].get("sync_batchnorm")))

    summary["processes"], summary["threads"] = processes, torch.get_num_threads()
    description = {
        # so that it can be loaded from any working directory
        "config": record.make_paths_absolute({**job.config, "threads": config["threads"]}),
        "statistics": data.statistics(),
        "shapes": None if is_foreign(config) else {"in_shape": list(data.in_shape), "out_features": data.out_features},
        "target_mean": target_mean,
        "identity": record.identify(job.config),
        "data": data.fingerprint,
        "threads": torch.get_num_threads(),
        "started": keeper.started,
        "stacked": stacked,
        "engine_changes": _note_engine_change(resume_point, stacked, summary),
        "found": found,
    }
    return Prepared(config, processes, data, learner, description, metric, instruments, callbacks)


def _note_engine_change(
    resume_point: ResumePoint | None, stacked: int | None, summary: dict[str, Any]
) -> list[dict[str, Any]]:
    """Log and summarise that a resumed run trains in a stack of another size, or alone; return all such changes.

    A stack sums in an order that depends on its size, so the last digits then differ from an uninterrupted run.
    """
    changes = [] if resume_point is None else list(resume_point.engine_changes)
    if resume_point is not None and resume_point.ended and resume_point.stacked:
        summary["stacked"] = resume_point.stacked  # it has no epochs left to train
    elif resume_point is not None and resume_point.knows_engine and resume_point.stacked != stacked:
        before, now = (f"in a stack of {size}" if size else "alone" for size in (resume_point.stacked, stacked))
        changes.append({"epoch": resume_point.epoch, "from": before, "to": now})
        log.warning(
            "Trained %s up to epoch %d, then %s: the last digits differ from those of an uninterrupted run.",
            before, resume_point.epoch, now,
        )  # fmt: skip
    if changes:
        summary["engine_changes"] = changes
    return changes


def collect_hyperparameters(job: Job, config: Mapping[str, Any]) -> Hyperparameters:
    """Return the hyperparameters of a run, with what finders have found in `config`."""
    assert job.choices is not None
    return Hyperparameters.collect(job.choices.options, job.choices.given, config)
