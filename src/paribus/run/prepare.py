"""Build everything that a run trains with."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from paribus import record
from paribus.data.module import InMemory
from paribus.errors import UserError
from paribus.models import layers
from paribus.run.build import build_data, build_initial
from paribus.run.checks import check_batch_norm
from paribus.run.ranks import count_ranks
from paribus.run.resume import ResumePoint
from paribus.run.spec import Job
from paribus.training.learner import Learner, Regressor

log = logging.getLogger(__name__)
THREADS = torch.get_num_threads()  # before any run of this process has set another number


def choose_threads(job: Job, config: Mapping[str, Any], left: ResumePoint | None) -> int | None:
    """As asked for; else as before, since another number gives other last digits; else as the launcher says."""
    return config["threads"] if config["threads"] is not None else left.threads if left else job.threads


@dataclass
class Prepared:
    """A run with everything built that trains, and nothing trained.

    Attributes:
        config: resolved, with the number of threads that it is made with.
        data: read.
        learner: with its network as it is before training, its layers found.
        description: what checkpoints say of it.
    """

    config: dict[str, Any]
    data: InMemory
    learner: Learner
    description: dict[str, Any]


def prepare(job: Job, left: ResumePoint | None, summary: dict[str, Any], stacked: int | None = None) -> Prepared:
    """Build a run, fill in what `summary` can say of it by now, and tell the log of the network."""
    config = {**summary["config"], "threads": choose_threads(job, summary["config"], left)}
    processes = count_ranks(config)
    torch.set_num_threads(config["threads"] or max(1, THREADS // (processes // config["trainer"].get("num_nodes", 1))))

    data = build_data(config)
    data.prepare_data()
    data.setup("fit")
    assert data.train is not None and data.val is not None
    summary["data"] = {"sha256": data.fingerprint, "train": len(data.train[0]), "val": len(data.val[0])}
    if left is not None and left.data != data.fingerprint:
        raise UserError(
            f"The data are no longer those that the run began with (their hash was {left.data[:8]}, is now "
            f"{data.fingerprint[:8]}). Bring those back, or make the run anew: remove {job.directory}."
        )

    learner, calls = build_initial(config, data)
    network = learner.network
    learner.layers = layers.find_weight_layers(network, calls)
    learner.initial = {layer.path: layer.weight.detach().clone() for layer in learner.layers}
    parameters = sum(p.numel() for p in network.parameters())
    log.info("%s\n%s", type(network).__name__, layers.format_table(calls, parameters))
    del calls  # they hold what went through the network
    summary["statistics"] = {"parameters": parameters}
    target_mean = None
    if isinstance(learner, Regressor):
        target_mean = float(data.train[1].double().mean())
        if len(data.val[0]):
            baseline = learner.loss(torch.full_like(data.val[1], target_mean), data.val[1])
            summary["statistics"]["baseline_val_loss"] = float(baseline)
    check_batch_norm(network, data, processes, bool(config["trainer"].get("sync_batchnorm")))

    summary["processes"], summary["threads"] = processes, torch.get_num_threads()
    description = {
        "config": record.make_paths_absolute(config),  # so that it can be loaded from anywhere
        "statistics": data.statistics(),
        "target_mean": target_mean,
        "identity": summary["identity"],
        "data": data.fingerprint,
        "threads": torch.get_num_threads(),
        "started": summary["started"],
        "stacked": stacked,
        "engine_changes": _note_engine(left, stacked, summary),
    }
    return Prepared(config, data, learner, description)


def _note_engine(left: ResumePoint | None, stacked: int | None, summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Say in log and summary that a resumed run trains in a stack of another size, or no longer; return all changes.

    A stack sums in an order that depends on its size, so the last digits are then not those of an undisturbed run.
    """
    changes = [] if left is None else list(left.engine_changes)
    if left is not None and left.ended and left.stacked:
        summary["stacked"] = left.stacked  # nothing is left to train
    elif left is not None and left.says_engine and left.stacked != stacked:
        before, now = (f"in a stack of {size}" if size else "alone" for size in (left.stacked, stacked))
        changes.append({"epoch": left.epoch, "from": before, "to": now})
        log.warning(
            "Trained %s up to epoch %d, from there on %s: last digits differ from those of an undisturbed run.",
            before, left.epoch, now,
        )  # fmt: skip
    if changes:
        summary["engine_changes"] = changes
    return changes


def collect_hyperparameters(summary: Mapping[str, Any]) -> dict[str, Any]:
    """What a run is told apart by in a logger's table: its choices, and every value of its experiment, flat."""
    flat = record.flatten(record.select_experimental(summary["config"]))
    values = {key: value for key, value in flat.items() if not key.endswith("_target_") and key != "data.seed"}
    execution = ("trainer", "callbacks", "logger")
    return {**{group: option for group, option in summary["choices"].items() if group not in execution}, **values}
