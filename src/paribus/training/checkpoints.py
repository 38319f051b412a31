"""Write best.ckpt and last.ckpt: tensors and plain values only, so that torch.load(weights_only=True) reads them."""

import io
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning import Trainer
from lightning.pytorch.callbacks import Checkpoint
from torch import nn

from paribus import record
from paribus.errors import Paused, Stopped, summarise_error
from paribus.record.statistics import score_epoch
from paribus.training.evaluated import show_evaluated

SECONDS_BETWEEN = 10.0
SECONDS_BETWEEN_LOOKS = 1.0  # for a request to stop: a file system that machines share may answer slowly
# The kinds of the parts of a checkpoint and its description: of both files, and of the one to resume from.
NEEDED: dict[str, Any] = {
    "state_dict": dict, "config": dict, "statistics": dict, "epoch": int, "identity": str, "target_mean": float | None,
}  # fmt: skip
NEEDED_TO_TRAIN: dict[str, Any] = {
    "recorder": dict, "optimizer_states": list, "lr_schedulers": list, "loops": dict, "callbacks": dict,
    "global_step": int, "data": str, "threads": int, "started": str,
}  # fmt: skip


class Checkpoints(Checkpoint):
    """The two checkpoints of a run, and in memory the weights of its best epoch.

    Both files are written after the first epoch, then at the end of an epoch if SECONDS_BETWEEN have passed, and at the
    end of the run. After an exception best.ckpt alone is written. For a run in a stack, the stack decides when.

    The best epoch has the best `metric`, else the highest val/acc (classification) or the lowest val/loss (regression).
    Of equal epochs it is the first; an epoch with a non-finite loss never counts. last.ckpt is a whole Lightning
    checkpoint, best.ckpt holds the `state_dict` only. Both hold `paribus`: the `description`, with the `epoch` of the
    weights, counted from 1. A run can be resumed from last.ckpt alone, since it contains the best weights too. This is
    a Checkpoint of Lightning, which calls it after all other callbacks: the file has the state of early stopping after
    the epoch.

    Args:
        description: plain values for both files: configuration, statistics of the data.
        metric: the metric by which the best epoch is chosen.
        pause: after this epoch, both files are written and Paused is raised; None: the run is trained to its end.
        stop_directories: where a request to stop is looked for after an epoch, if SECONDS_BETWEEN_LOOKS have passed and
            it is not the last one: both files are then written, and Stopped is raised.

    Attributes:
        complete_row: returns the row of metrics.csv of an epoch, once everybody has logged.
    """

    complete_row: Callable[[Trainer], Mapping[str, float | None]]

    def __init__(
        self,
        directory: Path,
        description: Mapping[str, Any],
        metric: record.Metric | None = None,
        pause: int | None = None,
        stop_directories: Sequence[Path] = (),
    ):
        self.directory = directory
        self.pause = pause
        self.stop_directories = stop_directories
        self.description = dict(description)
        self.metric = metric
        self.best: dict[str, Any] | None = None
        self._score = -math.inf
        self._epoch = 0
        self._best_written = True
        self._written_at = self._looked_at = -math.inf

    def resume(self, epoch: int, state: dict[str, Any]) -> None:
        """Restore the state from a checkpoint that was written after `epoch` epochs."""
        self._epoch = epoch
        self.load_state_dict(state)

    def open(self) -> None:
        """Create the directory of the files."""
        (self.directory / record.BEST).parent.mkdir(exist_ok=True)

    def keep_if_best(self, epoch: int, row: Mapping[str, float | None], learner: nn.Module) -> None:
        """Keep the weights of an epoch, counted from 1, in memory if it is the best so far. `row`: of metrics.csv."""
        self._epoch = epoch
        score = score_epoch(row, self.metric)
        if score is not None and score > self._score:
            self._score = score
            weights = {name: tensor.detach().clone() for name, tensor in learner.state_dict().items()}
            self.best = {"state_dict": weights, "paribus": {**self.description, "epoch": epoch}}
            self._best_written = False

    def on_fit_start(self, trainer: Trainer, learner: lightning.LightningModule) -> None:
        self.open()

    def on_train_start(self, trainer: Trainer, learner: lightning.LightningModule) -> None:
        if self.pause is not None and self.pause <= trainer.current_epoch:  # killed after the checkpoint of its pause
            raise Paused(f"Paused after epoch {trainer.current_epoch} of {trainer.max_epochs}.")

    def on_train_epoch_end(self, trainer: Trainer, learner: lightning.LightningModule) -> None:
        row = self.complete_row(trainer)
        with show_evaluated(trainer, learner):
            self.keep_if_best(trainer.current_epoch + 1, row, learner)
        # Other ranks must save and end at the same time (SavingFollower): the clock of rank 0 decides for all.
        goes_on = self._epoch < (trainer.max_epochs or 0) and not trainer.should_stop
        pauses = goes_on and self.pause is not None and self.pause <= self._epoch
        stop = self.find_stop(trainer.max_epochs or 0) if goes_on else None
        due = pauses or stop is not None or time.monotonic() - self._written_at >= SECONDS_BETWEEN
        due, _ = trainer.strategy.broadcast((due, stop is not None))
        if due:
            self.write(trainer)
        if pauses:
            raise Paused(f"Paused after epoch {self._epoch} of {trainer.max_epochs}.")
        if stop is not None:
            raise stop

    def find_stop(self, max_epochs: int) -> Stopped | None:
        """Return what ends the run after this epoch where somebody has asked to stop it; None otherwise."""
        if time.monotonic() - self._looked_at < SECONDS_BETWEEN_LOOKS:
            return None
        self._looked_at = time.monotonic()
        request = record.find_stop(self.stop_directories)
        if request is None:
            return None
        return Stopped(f"Stopped on request of {request.by} after epoch {self._epoch} of {max_epochs}.")

    def on_exception(self, trainer: Trainer, learner: lightning.LightningModule, exception: BaseException) -> None:
        self.write_best()  # but not last.ckpt, which would resume in the middle of an epoch

    def state_dict(self) -> dict[str, Any]:
        best = None if self.best is None else (self.best["state_dict"], self.best["paribus"]["epoch"])
        return {"best": best, "score": self._score}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._score = state_dict["score"]
        if state_dict["best"] is not None:
            weights, epoch = state_dict["best"]
            self.best = {"state_dict": weights, "paribus": {**self.description, "epoch": epoch}}
            self._best_written = False

    def on_save_checkpoint(
        self, trainer: Trainer, learner: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint["paribus"] = {**self.description, "epoch": self._epoch}
        for obj in (lightning.LightningModule, lightning.LightningDataModule):
            # of save_hyperparameters: what is no plain value could not be read with weights_only=True
            checkpoint.pop(obj.CHECKPOINT_HYPER_PARAMS_TYPE, None)
            key = obj.CHECKPOINT_HYPER_PARAMS_KEY
            if key in checkpoint:
                checkpoint[key] = {name: value for name, value in checkpoint[key].items() if _is_plain(value)}

    def on_load_checkpoint(
        self, trainer: Trainer, learner: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self._epoch = checkpoint["paribus"]["epoch"]

    def get_best_network(self, prefix: str = "network.") -> dict[str, torch.Tensor] | None:
        """Return the network's state dict at the best epoch; None if no epoch counted. `prefix`: of its tensors."""
        if self.best is None:
            return None
        return {name.removeprefix(prefix): t for name, t in self.best["state_dict"].items() if name.startswith(prefix)}

    def write(self, trainer: Trainer) -> None:
        """Write both checkpoints, last.ckpt by Lightning's trainer."""
        self.write_best()
        with record.replace_file(self.directory / record.LAST) as path:
            trainer.save_checkpoint(path)
        self._written_at = time.monotonic()

    def write_last(self, checkpoint: dict[str, Any]) -> None:
        """Write both checkpoints, last.ckpt from a checkpoint of Lightning without the parts that this class adds."""
        self.write_best()
        described = {**self.description, "epoch": self._epoch}
        _save({**checkpoint, "callbacks": {"Checkpoints": self.state_dict()}, "paribus": described},
              self.directory / record.LAST)  # fmt: skip

    def write_best(self) -> None:
        """Write best.ckpt, if there is a best epoch that the file does not hold yet."""
        if self.best is not None and not (self._best_written and (self.directory / record.BEST).exists()):
            _save(self.best, self.directory / record.BEST)
            self._best_written = True


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return type(value) in (list, tuple) and all(map(_is_plain, value))
    if isinstance(value, dict):
        return type(value) is dict and all(map(_is_plain, (*value, *value.values())))
    return value is None or type(value) in (bool, int, float, str, torch.Tensor)


def _advise(path: Path) -> str:
    return record.advise_repeat(path.parent.parent)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint of tensors and plain values. Raises FileNotFoundError, or RecordError for a damaged file."""
    record.require_regular(path)
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise
    except Exception as error:  # noqa: BLE001  a damaged pickle can raise almost any exception
        reason = summarise_error(error)
        if reason.startswith("Weights only load failed"):  # torch then advises to load it unsafely
            reason = "it holds something else than tensors and plain values"
        raise record.RecordError(f"{path} is damaged, or cannot be read ({reason}). {_advise(path)}") from None
    if not isinstance(stored, dict):
        raise record.RecordError(f"{path} is damaged: it holds no checkpoint.")
    return stored


def read_described(path: Path, with_training: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read a checkpoint of a run; return it and the description in it.

    Raises FileNotFoundError, or RecordError for a checkpoint that lacks what a run writes: with `with_training`, also
    what training goes on from.
    """
    stored = read_checkpoint(path)
    described = stored.get("paribus")
    parts: dict[str, Any] = {**stored, **(described if isinstance(described, dict) else {})}
    fault = _find_fault(parts, with_training)
    if fault is not None:
        raise record.RecordError(f"{path} is damaged: {fault}. {_advise(path)}")
    assert isinstance(described, dict)
    return stored, described


def _find_fault(parts: Mapping[str, Any], with_training: bool) -> str | None:
    """Say in what a checkpoint, with its description, is not as a run writes it; None where all is in order."""
    needed = {"paribus": dict, **NEEDED, **(NEEDED_TO_TRAIN if with_training else {})}
    for key, kind in needed.items():
        if key not in parts:
            return f"it lacks {key}"
        if not isinstance(parts[key], kind):
            return f"{key} is {str(parts[key])[:60]!r}"
    if fault := record.find_config_fault(parts["config"]):
        return f"config.{fault}"
    for key in ("model", "data", "activation"):
        if not parts["config"].get(key, {}).get("_target_"):
            return f"its config names no {key}"
    if with_training:
        recorder, states = parts["recorder"], parts["optimizer_states"]
        if type(recorder.get("epoch")) is not int or type(recorder.get("stopped")) is not bool:
            return "recorder does not say the epoch"
        if not states or not all(isinstance(state, dict) for state in states):
            return "it has no state of an optimizer"
    return None


def _save(content: Mapping[str, Any], path: Path) -> None:
    buffer = io.BytesIO()  # torch.save into a file would replace the error of a full disk by another one
    torch.save(content, buffer)
    with record.replace_file(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def describe_loops(epochs: int, steps: int, validates: bool, scheduled: bool, interval: str) -> dict[str, Any]:
    """Return the state of Lightning's loops at the end of an epoch, for one optimizer and at most one scheduler."""
    total = epochs * steps

    def counts(number: int, *names: str) -> dict[str, int]:
        return dict.fromkeys(names or ("ready", "completed", "started", "processed"), number)

    def batches(total: int, current: int, last: bool) -> dict[str, Any]:
        return {"total": counts(total), "current": counts(current), "is_last_batch": last}

    some = ("ready", "completed")
    by_epoch = interval == "epoch"
    schedule = (epochs if by_epoch else total, 1 if by_epoch else steps) if scheduled else (0, 0)
    evaluation = {"state_dict": {}, "batch_progress": batches(0, 0, False)}
    fit = {
        "state_dict": {},
        "epoch_loop.state_dict": {"_batches_that_stepped": total},
        "epoch_loop.batch_progress": batches(total, steps, True),
        "epoch_loop.scheduler_progress": {"total": counts(schedule[0], *some), "current": counts(schedule[1], *some)},
        "epoch_loop.automatic_optimization.state_dict": {},
        "epoch_loop.automatic_optimization.optim_progress": {
            "optimizer": {
                "step": {"total": counts(total, *some), "current": counts(steps, *some)},
                "zero_grad": {"total": counts(total, *some, "started"), "current": counts(steps, *some, "started")},
            }
        },
        "epoch_loop.manual_optimization.state_dict": {},
        "epoch_loop.manual_optimization.optim_step_progress": {"total": counts(0, *some), "current": counts(0, *some)},
        "epoch_loop.val_loop.state_dict": {},
        "epoch_loop.val_loop.batch_progress": batches(int(validates), int(validates), validates),
        "epoch_progress": {"total": counts(epochs), "current": counts(epochs)},
    }
    predict = {"state_dict": {}, "batch_progress": {"total": counts(0), "current": counts(0)}}
    return {"fit_loop": fit, "validate_loop": evaluation, "test_loop": evaluation, "predict_loop": predict}
