"""Estimate how long runs will take, from similar runs or from a trial of a few steps."""

import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from paribus import record
from paribus.data.foreign import ForeignData
from paribus.data.module import InMemory
from paribus.errors import UserError
from paribus.run.spec import Job
from paribus.run.trial import try_building
from paribus.sweep.launch import count_gpus
from paribus.sweep.plan import PlannedRun, count_epochs
from paribus.sweep.tables import get_planned_epochs

TRIAL_S = 1.0  # seconds of steps
RECORDING_FACTOR = 1.25  # an epoch with record, instruments and validation, against training steps alone (README)


def estimate_seconds(planned: Sequence[PlannedRun], directory: Path) -> float | None:
    """Estimate the seconds that the unfinished runs will take, one after the other; return None if unknown.

    The time of an epoch is the median over finished runs of the same network and optimizer on the same data, in the
    study's directory or beside it. Without such runs, it is measured in a trial of a few steps.
    """
    known: dict[str, list[float]] = {}
    for path in {*directory.glob(f"*/{record.SUMMARY}"), *directory.parent.glob(f"*/*/{record.SUMMARY}")}:
        status, summary = record.read_status(path.parent)
        seconds = (summary or {}).get("statistics", {}).get("mean_epoch_seconds")
        if summary is not None and status in record.FINISHED and isinstance(seconds, int | float):
            known.setdefault(_make_epoch_key(summary["config"]), []).append(seconds)
    total = 0.0
    for run in planned:
        if not run.finished:
            key = _make_epoch_key(run.job.config)
            if key not in known:
                with _using_threads(run.job.config["threads"]):
                    epoch_seconds = time_epoch(run.job)
                if epoch_seconds is None:
                    return None
                known[key] = [epoch_seconds]
            epochs_left = max(0, get_planned_epochs(run) - count_epochs(run.job.directory))
            total += statistics.median(known[key]) * epochs_left
    return total


def check_buildable(planned: Sequence[PlannedRun], elsewhere: bool) -> None:
    """Build each setting of the unfinished runs once, training nothing. Raises UserError for the first that fails.

    `elsewhere` means that the runs are for other machines, whose devices may be missing here.
    """
    read: dict[str, InMemory | ForeignData] = {}
    seen: set[str] = set()
    for run in planned:
        config = {key: value for key, value in run.job.config.items() if key not in ("seed", "seeds")}
        data = repr({key: value for key, value in config["data"].items() if key != "seed"})
        setting = repr({**config, "data": data})
        if run.finished or setting in seen:
            continue
        seen.add(setting)
        try:
            built = try_building(run.job.config, read.get(data), with_trainer=not elsewhere)
        except UserError as error:
            raise UserError(f"{error} (In the run {run.label}; nothing was run.)") from error
        if built is not None:
            read[data] = built[0]


def _make_epoch_key(config: Mapping[str, Any]) -> str:
    """Return a key of the values on which the time of an epoch depends most."""
    data = {
        key: value
        for key, value in dict(config.get("data", {})).items()
        if key not in ("seed", "root", "path", "verify")
    }
    return repr((config.get("model"), config.get("optim", {}).get("_target_"), data))


@contextmanager
def _using_threads(threads: int | None) -> Iterator[None]:
    """Have torch compute with so many threads in the block; with its own number where it is None."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def time_epoch(job: Job) -> float | None:
    """Estimate the seconds of an epoch of the job's run from up to a second of training steps, with its threads.

    Return None before its data are downloaded, and for what is not Paribus' own. Raises UserError for a run that cannot
    be built.
    """
    built = try_building(job.config, with_trainer=False)
    if built is None or built[1] is None or not isinstance(built[0], InMemory):
        return None
    data, learner = built[0], built[1]
    device = torch.accelerator.current_accelerator() if count_gpus(job) else None
    learner.to(device or torch.device("cpu"))
    optimizer = learner.make_optimizer(learner.parameters())
    batches, steps, start = data.train_dataloader(), 0, 0.0
    for step, (inputs, targets) in enumerate(batches):
        if step == min(3, len(batches) - 1):  # the first ones warm up
            steps, start = 0, time.perf_counter()
        optimizer.zero_grad()
        loss = learner.loss(learner(inputs.to(learner.device)), targets.to(learner.device))
        loss.backward()
        optimizer.step()
        steps += 1
        loss.item()  # waits for the device
        if start and time.perf_counter() - start > TRIAL_S:
            break
    return (time.perf_counter() - start) / steps * len(batches) * RECORDING_FACTOR
