"""Log filters and handlers for the terminal and the log file."""

import logging
import shutil
import sys
import sysconfig
import traceback
from copy import copy
from pathlib import Path
from typing import Any, ClassVar

import paribus

# Where code lies that is not the user's.
LIBRARIES = (
    *("<", str(Path(paribus.__file__).parent)),
    *(sysconfig.get_path(name) for name in ("purelib", "platlib", "stdlib")),
)
MOST_FRAMES = 5  # of a traceback, on a terminal


class BelowError(logging.Filter):
    """A filter for the handler of standard output, which drops errors: they go to standard error.

    A record with `once` is shown once in a process: what runs of a study have in common.
    """

    shown: ClassVar[set[str]] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        once: str | None = getattr(record, "once", None)
        if once is not None:
            if once in self.shown:
                return False
            self.shown.add(once)
        return record.levelno < logging.ERROR


class FittedFormatter(logging.Formatter):
    """A formatter for terminals: of a record with `shorter` texts, it takes the first that fits on a line.

    Of a traceback it shows the places in the user's own code, before the message, which so is the last line.
    """

    def format(self, record: logging.LogRecord) -> str:
        if record.exc_info and record.exc_info[2] is not None:
            frames = traceback.extract_tb(record.exc_info[2])
            plain = copy(record)  # the record itself goes on to the log file, with its traceback
            plain.exc_info = plain.exc_text = None
            own = [frame for frame in frames if not frame.filename.startswith(LIBRARIES)]
            return "".join(traceback.format_list(own[-MOST_FRAMES:] or frames[-1:])) + super().format(plain)
        text = super().format(record)
        shorter: list[str] = getattr(record, "shorter", [])
        width = shutil.get_terminal_size((0, 0)).columns if sys.stdout.isatty() else 0
        if not shorter or not width:
            return text
        return next((fitting for fitting in (text, *shorter) if len(fitting) <= width), shorter[-1][:width])


class LogFile(logging.FileHandler):
    """A log file that reports a failed write in one line, once; FileHandler prints a traceback each time.

    Attributes:
        begins_directory: True if its directory was empty before: what is in it later, this process has written.
    """

    reported = False

    def __init__(self, filename: str | Path, **options: Any):
        path = Path(filename)
        self.begins_directory = path.parent.is_dir() and not any(path.parent.iterdir())
        if self.begins_directory:
            try:
                path.touch(exist_ok=False)
            except FileExistsError:  # another process has begun it at the same time
                self.begins_directory = False
        super().__init__(filename, **options)

    def handleError(self, record: logging.LogRecord) -> None:
        if not self.reported:
            self.reported = True
            print(f"error: {self.baseFilename}: {sys.exc_info()[1]}. The log is incomplete.", file=sys.stderr)
