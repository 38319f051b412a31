"""One run in several processes of this machine, each with its share of every batch: trainer=ddp.

The process that was started is rank 0, and the record is its affair alone. Lightning would start the other ranks by
repeating the command line, which under --multirun would begin the study again in each of them. So they are started
here, and build and fit what rank 0 does, from the same resolved configuration.
"""

import logging
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import connection, get_context
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import torch
from lightning import Trainer
from torch import distributed

from paribus.errors import UserError
from paribus.run.build import build_part
from paribus.run.following import CONNECTING, ENDED, GO, READY, Failure, Place, connect, follow, told

log = logging.getLogger(__name__)

STRATEGIES = ("ddp", "ddp_find_unused_parameters_true")
ENDING = 60.0  # seconds for the other ranks to end after rank 0
GRACE = 10.0  # seconds for a rank to notice by itself that another one is gone


def count(config: Mapping[str, Any]) -> int:
    """How many processes the resolved configuration asks for. Raises UserError where that cannot be."""
    asked = config["trainer"]
    devices, strategy = asked["devices"], asked.get("strategy") or "auto"
    if asked.get("num_nodes", 1) != 1:
        raise UserError(
            f"trainer.num_nodes is {asked['num_nodes']}: a run is made on one machine. Leave it out; with trainer=ddp, "
            "trainer.devices is the number of processes."
        )
    if strategy not in STRATEGIES:
        return 1
    indices = isinstance(devices, list) or (isinstance(devices, str) and devices != "auto")
    if not (devices == "auto" or indices or (type(devices) is int and devices >= 1)):
        raise UserError(
            f"trainer.devices is {devices!r}; with trainer=ddp it must be a whole number, at least 1, auto, or a list "
            "of the GPUs to use."
        )
    # Lightning knows what there is; this trainer trains nothing
    counted = {"accelerator": asked["accelerator"], "devices": devices, "strategy": strategy}
    processes = build_part("trainer", lambda: Trainer(**counted, logger=False, enable_checkpointing=False)).num_devices
    return processes


def without_ddp(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The configuration for one process, where ddp needs no process group."""
    if config["trainer"].get("strategy") not in STRATEGIES:
        return config
    return {**config, "trainer": {**config["trainer"], "strategy": "auto"}}


@dataclass
class Rank:
    """Another process, as rank 0 sees it."""

    rank: int
    process: SpawnProcess
    pipe: connection.Connection
    failure: Failure | None = field(default=None, init=False)

    def hear(self) -> str | None:
        """Its next word: READY, ENDED, or None where it has failed, which `failure` then explains. Waits for it."""
        try:
            word = self.pipe.recv()
        except (EOFError, ConnectionError):
            self.process.join(GRACE)
            code = self.process.exitcode
            how = f"ended with exit code {code}"
            if code is not None and code < 0:
                memory = ", perhaps for want of memory" if code == -9 else ""
                how = f"was killed ({signal.Signals(-code).name}{memory})"
            word = Failure(self.rank, f"its process {how}", 0.0)  # before whatever others report, who felt it
        if isinstance(word, Failure):
            self.failure = word
            return None
        return str(word)


class RankFailed(UserError):
    """A rank other than 0 has failed; its traceback, where there is one, has been logged."""


@contextmanager
def other_ranks(
    config: Mapping[str, Any], directory: Path, processes: int, device: torch.device, checkpoint: Path | None
) -> Iterator[None]:
    """Run ranks 1 and up for the time of the block, in which rank 0 fits; the process group is there in it.

    Ranks that are still there when the block ends with an exception are killed: they have nothing to save. Raises
    RankFailed where it was another rank's failure that ended it.
    """
    if processes == 1:
        yield
        return
    store = distributed.TCPStore(Place.main_address, 0, processes, True, CONNECTING, wait_for_workers=False)
    ranks: list[Rank] = []
    over = threading.Event()
    try:
        for rank in range(1, processes):
            ranks.append(_start(config, directory, Place(rank, processes), store.port, checkpoint))
        _expect(READY, ranks)
        for other in ranks:
            other.pipe.send(GO)
        connect(store, Place(0, processes), device)
        threading.Thread(target=_watch, args=(ranks, over), daemon=True).start()
        yield
        _expect(ENDED, ranks, ENDING)
        over.set()
        for other in ranks:
            other.pipe.send(GO)
        distributed.destroy_process_group()
        for other in ranks:
            other.process.join(GRACE)
    except Exception as error:
        first = _first_failure(ranks)
        if any("find_unused_parameters" in text for text in (str(error), first.message if first else "")):
            raise UserError(  # what torch says in three paragraphs
                "There are parameters that the loss does not depend on, which trainer.strategy=ddp waits for. Choose "
                "trainer.strategy=ddp_find_unused_parameters_true."
            ) from error
        if first is None or first.message == told(error):
            raise
        if first.traceback is not None:
            log.error("%s", first.traceback)
        raise RankFailed(f"rank {first.rank} of {processes} processes: {first.message}") from error
    finally:
        over.set()
        for other in ranks:
            other.process.kill()
            other.process.join()
            other.pipe.close()
        if distributed.is_initialized():
            distributed.destroy_process_group()


def _start(config: Mapping[str, Any], directory: Path, place: Place, port: int, checkpoint: Path | None) -> Rank:
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(
        target=follow, args=(config, directory, place, port, checkpoint, theirs, torch.get_num_threads()), daemon=True
    )
    # Ctrl-C reaches all processes at a terminal, and is for rank 0 to answer: the new one inherits what is blocked.
    blocked = hasattr(signal, "pthread_sigmask")
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM}) if blocked else set()
    try:
        process.start()
    finally:
        if blocked:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
    theirs.close()  # so that its end is seen here
    return Rank(place.rank, process, ours)


def _expect(word: str, ranks: Sequence[Rank], seconds: float | None = None) -> None:
    """Wait for that word from all; raises RankFailed as soon as one of them fails, or says nothing for so long."""
    silent = {rank.pipe: rank for rank in ranks}
    while silent:
        speaking = connection.wait(list(silent), seconds)
        if not speaking:
            numbers = ", ".join(str(rank.rank) for rank in silent.values())
            raise RankFailed(f"rank {numbers}: does not end, though rank 0 has.")
        for pipe in speaking:
            rank = silent.pop(pipe)  # type: ignore[call-overload]
            heard = rank.hear()
            if heard != word:
                raise RankFailed(f"rank {rank.rank} says {heard} instead of {word}.")


def _first_failure(ranks: Sequence[Rank]) -> Failure | None:
    """The first of the ranks' failures. It has a second to be known: rank 0 may feel it before it is."""
    silent = {rank.pipe: rank for rank in ranks if rank.failure is None}
    until = time.monotonic() + 1
    while silent and (speaking := connection.wait(list(silent), max(0.0, until - time.monotonic()))):
        for pipe in speaking:
            if silent[pipe].hear() is None:  # type: ignore[index]
                del silent[pipe]  # type: ignore[arg-type]
    failures = [rank.failure for rank in ranks if rank.failure is not None]
    return min(failures, key=lambda failure: failure.at, default=None)


def _watch(ranks: Sequence[Rank], over: threading.Event) -> None:
    """Free rank 0 where it waits for a rank that is gone: on the CPU it is told by itself, on a GPU it may not be."""
    while not over.wait(1):
        if connection.wait([rank.process.sentinel for rank in ranks], 0):
            if not over.wait(GRACE):
                distributed.distributed_c10d._abort_process_group()
            return
