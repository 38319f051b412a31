"""Report an exception as one message and an exit code."""

import logging
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from paribus.errors import RunFailed, UserError
from paribus.process import make_hydra_raise
from paribus.terminal import replace_unencodable

log = logging.getLogger(__name__)
_FULL = os.environ.get("HYDRA_FULL_ERROR", "0") == "1"  # the user's value: make_hydra_raise sets the variable too


@contextmanager
def report_errors(exit_code: int = 1) -> Iterator[None]:
    """Print an error as one message on standard error and exit with `exit_code`, or with 130 after Ctrl-C.

    With HYDRA_FULL_ERROR=1 in the environment, exceptions pass through with their traceback. A task function of Hydra
    needs this around its body too; otherwise Hydra prints the error first, in its own form.
    """
    replace_unencodable()
    if _FULL:
        yield
        return
    try:
        with make_hydra_raise():
            yield
    except RunFailed:
        sys.exit(exit_code)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        message = _find_message(error)
        if message is None:
            raise
        print(f"error: {message}", file=sys.stderr)
        sys.exit(exit_code)


def _find_message(error: Exception) -> str | None:
    """Return what the user is told of an error; None where it is a fault of the program."""
    import hydra  # with what explains errors 0.15 s: longer than `paribus ls` takes without an error
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException
    from yaml import MarkedYAMLError

    from paribus.config.messages import explain

    if isinstance(error, UserError | HydraException | OmegaConfBaseException | OSError | MarkedYAMLError):
        return explain(error)
    if isinstance(error, ValueError):
        if isinstance(error.__cause__, OSError):  # logging cannot open a log file
            return explain(error.__cause__)
        raised_in = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
        if raised_in.is_relative_to(Path(hydra.__file__).parent):
            return str(error)  # Hydra's message on an override such as trainer=null
    return None
