"""Configure what goes to the log and to the terminal."""

import logging
import sys
import threading
import warnings

from paribus.config.messages import explain

log = logging.getLogger(__name__)


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


def _thread_failed(failure: threading.ExceptHookArgs) -> None:
    """TensorBoard begins its file in a thread, and we go on with it: there is no need for a traceback as well."""
    if isinstance(failure.exc_value, OSError):
        log.error("error: %s", explain(failure.exc_value))
    else:
        threading.__excepthook__(failure)


def silence_libraries() -> None:
    """Keep what concerns no user of ours off the terminal; warnings go to the log, in its form."""
    logging.captureWarnings(True)
    threading.excepthook = _thread_failed
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # each batch is cut out of memory: there are no workers to start
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    # Lightning's own affair with newer releases of torch
    warnings.filterwarnings("ignore", ".*LeafSpec.*")
    # a final fit has no validation
    warnings.filterwarnings("ignore", ".*across ranks is zero.*")
    # scalars are logged once an epoch, whatever the number of steps
    warnings.filterwarnings("ignore", ".*smaller than the logging interval.*")
