"""The processes of this machine that make runs. Imports nothing that takes time: a launcher begins with this."""

import os
import signal
import threading
from multiprocessing import forkserver, get_context, parent_process
from multiprocessing.context import BaseContext


def begin_forkserver() -> BaseContext:
    """Workers are copies of a process that has imported what they need (preload.py), and done nothing else; it begins
    while the study is read."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["paribus.preload"])
    forkserver.ensure_running()
    return context


def begin_worker() -> None:
    """Let Ctrl-C and SIGTERM interrupt the worker's run as they would here, and end the worker when this process is
    killed."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)

    def follow() -> None:
        parent = parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
