"""Configure what goes to the log and to the terminal."""

import logging
import sys


class BelowError(logging.Filter):
    """For the handler of standard output: errors go to standard error."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno < logging.ERROR


class LogFile(logging.FileHandler):
    """A log that says in a line, and once, that it cannot be written: logging itself prints a traceback each time."""

    told = False

    def handleError(self, record: logging.LogRecord) -> None:
        if not self.told:
            self.told = True
            print(f"error: {self.baseFilename}: {sys.exc_info()[1]}. The log is not complete.", file=sys.stderr)
