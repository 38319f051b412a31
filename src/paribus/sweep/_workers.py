"""The processes of this machine that make runs. Imports nothing that takes time: a launcher begins with this."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import forkserver, get_context, parent_process
from multiprocessing.context import BaseContext


def start_forkserver() -> BaseContext:
    """Workers are copies of a process that has imported what they need (preload.py), and done nothing else; it begins
    while the study is read."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["paribus.sweep._preload"])
    forkserver.ensure_running()
    return context


def end_with_parent() -> None:
    """End the worker when this process is killed."""

    def follow() -> None:
        parent = parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


@contextmanager
def allowing_interrupts() -> Iterator[None]:
    """For the time that a worker makes a run: let Ctrl-C and SIGTERM interrupt it as they would here. A worker that has
    nothing to do is left to its pool, which ends it by SIGTERM."""
    numbers = signal.SIGINT, signal.SIGTERM
    before = [signal.signal(number, signal.default_int_handler) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
