"""Log filters and handlers for the terminal and the log file."""

import logging
import sys


class BelowError(logging.Filter):
    """A filter for the handler of standard output, which drops errors: they go to standard error."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno < logging.ERROR


class LogFile(logging.FileHandler):
    """A log file that reports a failed write in one line, once; FileHandler prints a traceback each time."""

    reported = False

    def handleError(self, record: logging.LogRecord) -> None:
        if not self.reported:
            self.reported = True
            print(f"error: {self.baseFilename}: {sys.exc_info()[1]}. The log is incomplete.", file=sys.stderr)
