"""Worker processes on this machine. Imports nothing that takes time, since a launcher begins with this."""

import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from multiprocessing import forkserver, get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext
from typing import Any

from paribus.errors import UserError
from paribus.process import end_with_parent, interrupt_on_sigterm

log = logging.getLogger(__name__)
GRACE_S = 10.0  # for a worker to save its state after an interruption, or to exit after its task


def start_forkserver() -> ForkServerContext:
    """Start the process that workers are forked from, unless it runs: it has imported what they need (_preload.py)."""
    context = get_context("forkserver")
    context.set_forkserver_preload([f"{__package__}._preload"])
    forkserver.ensure_running()
    return context


class Worker:
    """A process that calls a function, and again whenever it is given further arguments.

    The first call in a process takes half a second more than the next: what torch and Lightning set up at first use.

    Attributes:
        result: the return value of the last call; None until then, and where the process has ended instead.
    """

    def __init__(self, function: Callable[..., Any], *arguments: Any):
        context = start_forkserver()
        self._pipe, self._theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(function, arguments, self._theirs))
        self._orphaned = False  # whether the forkserver, which reports the exit code, was killed
        self.result: Any = None

    def start(self) -> None:
        """Start the process. Raises UserError where it cannot be."""
        for pause_s in (0.2, 2.0, None):
            try:
                self._process.start()
                break
            except (OSError, EOFError) as error:  # a killed forkserver; once it is gone, another one is started
                if pause_s is None:
                    raise UserError(
                        f"A process for the runs cannot be started ({type(error).__name__}: {error}). Start the same "
                        "command again to train the other runs."
                    ) from error
                time.sleep(pause_s)
        self._theirs.close()  # the worker's copy is then the only one, and closed when it exits

    @property
    def events(self) -> list[Connection | int]:
        """The objects to wait for: the pipe of results, and the sentinel of the process."""
        return [self._pipe] if self._orphaned else [self._pipe, self._process.sentinel]

    def has_ended(self) -> bool:
        """Receive the result if it is there; return whether the process has ended. Call when an event is ready."""
        if self._pipe.poll():
            try:
                self.result = self._pipe.recv()
            except (EOFError, ConnectionError):  # it exited without a result; `explain_exit` says how
                self._join()
            return True
        # Its exit is reported, yet the pipe is open: held by a child of the worker, or the forkserver was killed.
        self._orphaned = self._signal(0)
        return not self._orphaned

    def call_again(self, *arguments: Any) -> bool:
        """Call the function again in the same process; return False where that has ended meanwhile."""
        self.result = None
        try:
            self._pipe.send(arguments)
        except OSError:
            return False
        return True

    def retire(self) -> None:
        """Let the process end that waits for further arguments."""
        with suppress(OSError):  # it has ended already
            self._pipe.send(None)
        self._join()

    def _join(self) -> None:
        self._process.join(GRACE_S)
        if self._process.exitcode is None:  # a thread of the user's code keeps it
            self.kill()

    def explain_exit(self) -> str:
        """Return why there is no result."""
        code = self._process.exitcode
        if code is None or code == 255:  # 255: the forkserver was killed
            return "its process ended without a result"
        if code < 0:
            memory = ", perhaps for want of memory" if code == -signal.SIGKILL else ""
            return f"its process was killed ({signal.Signals(-code).name}{memory})"
        return f"its process exited before the run had ended (exit code {code})"

    def interrupt(self) -> bool:
        """Raise KeyboardInterrupt in the process; return whether it is there."""
        return self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> bool:
        """Send a signal; return whether the process is there. Process.terminate needs the forkserver."""
        if self._process.pid is None:
            return False
        try:
            os.kill(self._process.pid, number)
        except ProcessLookupError:
            return False
        return True


def wait_for_workers(workers: Collection[Worker], timeout_s: float | None = None) -> list[Worker]:
    """Wait until a worker has ended, or the forkserver was killed; return the workers that have ended."""
    by_event = {event: worker for worker in workers for event in worker.events}
    ready = {by_event[event] for event in wait(by_event, timeout_s)}  # type: ignore[index]
    ended = [worker for worker in ready if worker.has_ended()]
    if len(ended) < len(ready):
        log.warning("The process that starts the workers was killed; running workers continue.")
    return ended


def stop_workers(workers: Collection[Worker]) -> None:
    """Interrupt all workers, and kill those that have not ended within GRACE_S."""
    left: set[Worker] = set()
    deadline = time.monotonic() + GRACE_S
    try:
        left.update(worker for worker in workers if worker.interrupt())
        while left and time.monotonic() < deadline:
            for worker in wait_for_workers(left, deadline - time.monotonic()):
                left.discard(worker)
                worker.retire()
    finally:
        for worker in left:  # also after a second Ctrl-C
            worker.kill()


def _serve(function: Callable[..., Any], arguments: tuple[Any, ...] | None, pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the leader, which interrupts by SIGTERM
    end_with_parent()
    try:
        while arguments is not None:
            with interrupt_on_sigterm():
                result = function(*arguments)
            pipe.send(result)
            arguments = pipe.recv()
    except (EOFError, ConnectionError):
        sys.exit(1)  # the leader has gone
    except KeyboardInterrupt:
        sys.exit(130)  # without a traceback: the leader knows
