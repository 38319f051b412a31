"""Train one run in several processes, its ranks: trainer=ddp.

Ranks are started by torchrun, by srun, or by rank 0 itself. Rank 0 executes the run, and alone writes the record. The
other ranks read no configuration: they fit what rank 0 sends them, run after run.
"""

import itertools
import logging
import os
import pickle
import signal
import sys
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing import connection
from pathlib import Path
from typing import Any

import torch
from hydra.core.utils import env_override
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.strategies import DDPStrategy
from torch import distributed, multiprocessing
from torch.distributed.rendezvous import rendezvous
from torch.multiprocessing import ProcessContext, ProcessExitedException, ProcessRaisedException

from paribus.data.module import InMemory
from paribus.errors import Stopped, UserError, summarise_error
from paribus.process import find_rank, keep_freed_memory
from paribus.record import OWN_CALLBACKS
from paribus.run.build import build_callbacks, build_data, build_initial, build_steps_in_epoch, build_trainer
from paribus.run.followers import Follower, SavingFollower

log = logging.getLogger(__name__)
SIGNALS = (signal.SIGINT, signal.SIGTERM)
GRACE_S = 20.0  # for a rank to end by itself


def count_ranks(config: Mapping[str, Any]) -> int:
    """Count the processes that the resolved configuration asks for. Raises UserError where that cannot be."""
    strategy, nodes = config["trainer"].get("strategy") or "auto", config["trainer"].get("num_nodes", 1)
    ranks = 1
    if strategy != "auto":
        trainer = build_trainer({**config, "logger": {}}, Path(), [])  # Lightning knows what there is
        ranks = trainer.num_devices * trainer.num_nodes
        whole = type(trainer.strategy) is DDPStrategy and not str(strategy).endswith(("_spawn", "_fork", "_notebook"))
        if ranks > 1 and not whole:
            raise UserError(
                f"trainer.strategy={strategy}: a run takes ddp, ddp_find_unused_parameters_true or a DDPStrategy by "
                "its _target_, since instruments and checkpoints read whole weights."
            )
    if find_rank() is None and nodes != 1:
        raise UserError(
            f"trainer.num_nodes is {nodes}, but this command is alone. Start it on each machine by torchrun or srun."
        )
    if find_rank() is not None and os.environ["WORLD_SIZE"] != str(ranks):
        raise UserError(
            f"The launcher has started {os.environ['WORLD_SIZE']} processes, but the run asks for {ranks}: with "
            "trainer=ddp, trainer.devices on each of trainer.num_nodes machines."
        )
    return ranks


def without_ddp(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the configuration for a single process, where ddp needs no process group."""
    alone = str(config["trainer"].get("strategy")).startswith("ddp")
    return {**config, "trainer": {**config["trainer"], "strategy": "auto"}} if alone else config


@dataclass(frozen=True)
class Ranks:
    """The processes of a run: how many, and the others on this machine where this one has started them."""

    number: int
    started: ProcessContext | None = None

    @contextmanager
    def in_step(self, device: torch.device, *task: Any) -> Iterator[None]:
        """Have the other ranks fit what rank 0 fits in the block. `task`: see _fit_along."""
        if self.number == 1:
            yield
            return
        store = _connect()
        if store.add("failed", 0):
            log.error("error: The other processes have ended with a run that failed. Repeat the command to resume it.")
            raise KeyboardInterrupt
        try:
            _join_group(_send(store, (device.type, *task)), device.type)
            yield
        except Stopped:
            raise  # the other ranks end this fit too, and wait for the next one
        except BaseException as error:
            store.add("failed", 1)
            for number in SIGNALS if self.started is None else ():
                signal.signal(number, signal.SIG_IGN)  # launchers send it twice; now the end is written down
            if "find_unused_parameters" in str(error):  # what torch says in three paragraphs
                raise UserError(
                    "There are parameters that the loss does not depend on, which trainer.strategy=ddp waits for. "
                    "Choose trainer.strategy=ddp_find_unused_parameters_true."
                ) from error
            if not _comes_from_another_rank(error):
                raise
            if self.started is not None:
                raise self._explain() from error
            log.warning("Another process of the run has ended; see the launcher's output.")
            raise KeyboardInterrupt from error
        finally:
            if distributed.is_initialized():
                distributed.destroy_process_group()

    def _explain(self) -> BaseException:
        """Return how the first of the started processes has ended, once it has."""
        assert self.started is not None
        try:
            while not self.started.join():
                pass
            raise RuntimeError("A process of the run is gone, and none has failed.")
        except ProcessRaisedException as error:
            log.error("%s", error)
            how, index = str(error).strip().splitlines()[-1], error.error_index
        except ProcessExitedException as error:
            if error.signal_name == "SIGINT":
                return KeyboardInterrupt()
            memory = ", perhaps for want of memory" if error.signal_name == "SIGKILL" else ""
            how, index = f"its process has ended ({error.signal_name or error.exit_code}{memory})", error.error_index
        return UserError(f"rank {index + 1} of {self.number} processes: {how}")


@contextmanager
def start_ranks(number: int) -> Iterator[Ranks]:
    """Start the other ranks, where no launcher has, for the time of the block. This process is rank 0 in it.

    To torch and Lightning it is as if torchrun had started them.
    """
    if number == 1 or find_rank() is not None:
        yield Ranks(number)
        return
    server = distributed.TCPStore("127.0.0.1", 0, is_master=True)  # at a port that is free
    shared = {"TORCHELASTIC_RUN_ID": "paribus", "TORCHELASTIC_USE_AGENT_STORE": "True", "WORLD_SIZE": str(number),
              "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(server.port)}  # fmt: skip
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as the new ones have it until they follow
    others = multiprocessing.spawn(_follow_as, (shared,), number - 1, join=False)
    signal.signal(signal.SIGINT, before)
    over = threading.Event()
    threading.Thread(target=_watch, args=(others, over), daemon=True).start()
    try:
        with env_override(shared | {"RANK": "0", "LOCAL_RANK": "0"}), leading():
            yield Ranks(number, others)
    finally:
        over.set()
        for process in others.processes:
            process.kill()
            process.join()


def _watch(others: ProcessContext, over: threading.Event) -> None:
    """End this process where it waits on a GPU for a rank that is gone; on a CPU, gloo raises an error."""
    connection.wait([process.sentinel for process in others.processes])
    if not over.wait(2 * GRACE_S):
        log.error("error: A process of the run has ended, and this one waits for it. The run can be resumed.")
        os._exit(1)


@contextmanager
def leading() -> Iterator[None]:
    """Let the other ranks end when rank 0 has nothing left for them."""
    store = _connect()
    try:
        yield
    finally:
        _send(store, None)
        if not store.add("failed", 0):  # it may be this process that keeps the store
            with suppress(distributed.DistStoreError):  # one that has gone already
                others = range(1, int(os.environ["WORLD_SIZE"]))
                store.wait([f"left {rank}" for rank in others], timedelta(seconds=GRACE_S))


def _comes_from_another_rank(error: BaseException) -> bool:
    """Return whether the error is what a rank feels of the end of another."""
    return isinstance(error, distributed.DistError) or "gloo/transport" in str(error)


def _follow_as(index: int, shared: Mapping[str, str]) -> None:
    os.environ |= {**shared, "RANK": str(index + 1), "LOCAL_RANK": str(index + 1)}
    follow()


def follow() -> None:
    """In a rank other than 0: fit what rank 0 sends, until it has no more. Writes nothing, prints nothing."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)  # it is rank 0 that answers
    logging.disable()
    warnings.simplefilter("ignore")
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # a user's callbacks may print, once
    keep_freed_memory()
    torch.set_flush_denormal(True)  # both as in rank 0
    store = _connect()
    for run in itertools.count(1):
        store.wait([f"run {run}"], timedelta(days=365))
        task = pickle.loads(store.get(f"run {run}"))
        if task is None:
            break
        try:
            _fit_along(run, *task)
        except Exception as error:
            # the one that ends first is reported: rank 0 where it fails as well, else the one that fails by itself
            time.sleep(10 if _comes_from_another_rank(error) else 2)
            raise
    store.add(f"left {os.environ['RANK']}", 1)


def _fit_along(run: int, kind: str, config: Mapping[str, Any], directory: Path, checkpoint: Path | None) -> None:
    """Build the run of the resolved configuration as rank 0 does, and fit it in step on devices of that kind."""
    _join_group(run, kind)
    torch.set_num_threads(config["threads"])
    data = build_data(config)
    if os.environ["LOCAL_RANK"] == "0":
        data.prepare_data()  # on a machine that shares no files with rank 0's
    data.setup("fit")
    learner, _ = build_initial(config, data)
    instruments, callbacks = build_callbacks(config)
    in_epoch = build_steps_in_epoch(instruments, learner, data)
    users = [c for c in callbacks if isinstance(c, WeightAveraging) or not type(c).__module__.startswith(OWN_CALLBACKS)]
    steps = [] if in_epoch is None else [in_epoch]
    trainer = build_trainer({**config, "logger": {}}, directory, [*steps, Follower(), *users, SavingFollower()])
    assert isinstance(data, InMemory)
    with suppress(Stopped):
        trainer.fit(learner, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    distributed.destroy_process_group()


def _connect() -> distributed.Store:
    """Meet the other ranks where the launcher says."""
    try:
        store: distributed.Store = next(rendezvous("env://"))[0]
    except RuntimeError as error:  # DistError, which torch 2.6 raises as its base class alone
        raise UserError(
            f"The processes of the run cannot meet at {os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']} "
            f"({summarise_error(error)}). Choose another port: MASTER_PORT=N in the environment of all of them."
        ) from error
    return store


def _send(store: distributed.Store, task: Any) -> int:
    run = store.add("runs", 1)
    store.set(f"run {run}", pickle.dumps(task))  # type: ignore[arg-type]  # bytes are what it takes, and gives
    return run


def _join_group(run: int, kind: str) -> None:
    backend, rank, ranks = "nccl" if kind == "cuda" else "gloo", os.environ["RANK"], os.environ["WORLD_SIZE"]
    store = distributed.PrefixStore(f"group of run {run}", _connect())
    distributed.init_process_group(backend, store=store, rank=int(rank), world_size=int(ranks))
