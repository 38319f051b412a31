"""A rank of a run in several processes: what it is to Lightning, and what those beside rank 0 do."""

import logging
import os
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing import connection, parent_process
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning import Trainer
from lightning.fabric.plugins.environments import ClusterEnvironment
from lightning.pytorch.strategies import DDPStrategy
from torch import distributed

from paribus.config.messages import explain
from paribus.errors import UserError
from paribus.process import keep_freed_memory
from paribus.record import OWN_CALLBACKS
from paribus.run.build import build_callbacks, build_data, build_initial, build_trainer
from paribus.training.learner import Learner

CONNECTING = timedelta(seconds=60)  # for all ranks to find each other, once all of them have built their parts
READY, ENDED, GO = "ready", "ended", "go"


@dataclass(frozen=True)
class Place(ClusterEnvironment):
    """A rank among those of the run; what Lightning asks of whoever has started the processes."""

    rank: int
    processes: int
    creates_processes_externally = True
    main_address = "127.0.0.1"
    main_port = 0  # nobody asks: the process group is there before Lightning looks for it

    @staticmethod
    def detect() -> bool:
        return False

    def world_size(self) -> int:
        return self.processes

    def set_world_size(self, size: int) -> None: ...

    def global_rank(self) -> int:
        return self.rank

    def set_global_rank(self, rank: int) -> None: ...

    def local_rank(self) -> int:
        return self.rank

    def node_rank(self) -> int:
        return 0


def strategy(config: Mapping[str, Any], place: Place) -> DDPStrategy:
    """Lightning's strategy for a rank among several."""
    unused: dict[str, Any] = {"find_unused_parameters": True} if config["trainer"]["strategy"] != "ddp" else {}
    return DDPStrategy(cluster_environment=place, **unused)


class Follower(lightning.Callback):
    """In the other ranks, at the end of an epoch, the counterpart of rank 0's Recorder."""

    def __init__(self) -> None:
        self._stopped = False

    def on_load_checkpoint(
        self, trainer: Trainer, learner: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self._stopped = checkpoint["recorder"]["stopped"]

    def on_fit_start(self, trainer: Trainer, learner: lightning.LightningModule) -> None:
        trainer.should_stop = self._stopped

    def on_train_epoch_end(self, trainer: Trainer, learner: lightning.LightningModule) -> None:
        assert isinstance(learner, Learner)
        learner.read(learner.training_sums)
        trainer.should_stop = trainer.strategy.broadcast(trainer.should_stop)


def spare_the_steps(trainer: Trainer) -> None:
    """Leave out Lightning's talk between the ranks in every step, whether there was a SIGTERM: each time it waits for
    the device, and it takes the failure of another rank for a no."""
    trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]


class Interruptible(lightning.Callback):
    """In rank 0: SIGTERM ends the run as Ctrl-C does. Lightning's handler would talk to the other ranks out of turn."""

    def on_train_start(self, trainer: Trainer, learner: lightning.LightningModule) -> None:
        spare_the_steps(trainer)
        if threading.current_thread() is threading.main_thread():  # Lightning puts the old handler back when it ends
            signal.signal(signal.SIGTERM, signal.default_int_handler)


@dataclass
class Failure:
    """Why a rank came to no good end, and when (time.time()). `traceback` only of an error that nobody foresaw."""

    rank: int
    message: str
    at: float
    traceback: str | None = None


def connect(store: distributed.Store, place: Place, device: torch.device) -> None:
    backend = "nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, store=store, rank=place.rank, world_size=place.processes)


def told(error: Exception) -> str:
    return explain(error) if isinstance(error, UserError | OSError) else f"{type(error).__name__}: {error}"


def follow(
    config: Mapping[str, Any],
    directory: Path,
    place: Place,
    port: int,
    checkpoint: Path | None,
    pipe: connection.Connection,
    threads: int,
) -> None:
    """Be a rank other than 0: build and fit in step with rank 0; writes nothing, prints nothing."""
    keep_freed_memory()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    logging.disable()
    warnings.simplefilter("ignore")
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # a user's callbacks may print, once
    try:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(True)  # as in rank 0
        data = build_data(config)
        data.setup("fit")
        learner, _ = build_initial(config, data)
        _, callbacks = build_callbacks(config)
        users = [c for c in callbacks if not type(c).__module__.startswith(OWN_CALLBACKS)]
        silent = {**config, "logger": {}}
        trainer = build_trainer(silent, directory, [Follower(), *users], strategy(config, place))
        store = distributed.TCPStore(Place.main_address, port, place.processes, False, CONNECTING)
        pipe.send(READY)
        pipe.recv()
        connect(store, place, trainer.strategy.root_device)
        spare_the_steps(trainer)
        trainer.fit(learner, datamodule=data, ckpt_path=checkpoint, weights_only=True)
        pipe.send(ENDED)
        pipe.recv()
        distributed.destroy_process_group()
    except Exception as error:
        foreseen = isinstance(error, UserError | OSError)
        pipe.send(Failure(place.rank, told(error), time.time(), None if foreseen else traceback.format_exc()))
        raise SystemExit(1) from error


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
