"""Write TensorBoard events from the thread that logs them. Importing this takes time: not before there are events."""

import itertools
import os
import socket
import time
from pathlib import Path
from typing import Any, cast

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard import FileWriter, SummaryWriter

from paribus.loggers.events import EventFile

_numbers = itertools.count()  # of the files of this process; readers take them in order of their names


class EventFileWriter(FileWriter):
    """torch's FileWriter, but that an EventFile in `directory` writes its events."""

    def __init__(self, directory: Path):
        directory.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.{next(_numbers):06d}"
        self.event_writer = EventFile(directory / name)
        self.add_event(Event(file_version="brain.Event:2"))

    def write(self, *events: bytes) -> None:
        self.event_writer.write(*events)


class EventWriter(SummaryWriter):
    """torch's SummaryWriter, but that an EventFile writes its events."""

    file_writer: Any  # torch declares both as None
    all_writers: Any

    def _get_file_writer(self) -> EventFileWriter:  # a private name of torch's: see private_names.py
        return self.open_file()

    def open_file(self) -> EventFileWriter:
        """Return the open event file, or a new one after `close`."""
        if self.file_writer is None:
            self.file_writer = EventFileWriter(Path(self.log_dir))
            self.all_writers = {self.log_dir: self.file_writer}
            if self.purge_step is not None:
                self.file_writer.add_event(Event(session_log=SessionLog(status=SessionLog.START)), self.purge_step)
                self.purge_step = None
        return cast(EventFileWriter, self.file_writer)

    def add_summary(self, summary: Summary, step: int | None = None) -> None:
        self.open_file().add_summary(summary, step)
