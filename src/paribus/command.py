"""The door of the command line: whatever goes wrong inside leaves as one message and an exit code."""

import errno
import logging
import os
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import hydra
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, InterpolationKeyError, OmegaConfBaseException

from paribus.errors import UserError, unknown

_UNWRITABLE = "Write elsewhere: hydra.run.dir=DIR for a run, hydra.sweep.dir=DIR for a study, data.root=DIR for data."
_REMEDIES = {
    errno.ENOSPC: "Free some space and run again.",
    errno.EDQUOT: "Free some space and run again.",
    errno.EACCES: _UNWRITABLE,
    errno.EPERM: _UNWRITABLE,
    errno.EROFS: _UNWRITABLE,
    errno.ENOTDIR: _UNWRITABLE,
    errno.ENOENT: _UNWRITABLE,
    errno.EEXIST: _UNWRITABLE,
    errno.ENAMETOOLONG: "Choose a shorter name.",
}


class RunFailed(Exception):
    """A run failed, and has already said why in its log and on the terminal."""


class BelowError(logging.Filter):
    """For the handler of standard output: errors go to standard error."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno < logging.ERROR


@contextmanager
def report_errors() -> Iterator[None]:
    """Print an error as one message on standard error and exit with 1, or with 130 after Ctrl-C.

    With HYDRA_FULL_ERROR=1 in the environment, exceptions pass through with their traceback.
    """
    if os.environ.get("HYDRA_FULL_ERROR", "0") == "1":
        yield
        return
    os.environ["HYDRA_FULL_ERROR"] = "1"  # else Hydra prints errors in its own way and exits before we see them
    try:
        yield
    except RunFailed:
        sys.exit(1)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(130)
    except (UserError, HydraException, OmegaConfBaseException, OSError) as error:
        print(f"error: {explain(error)}", file=sys.stderr)
        sys.exit(1)
    except ValueError as error:
        raised_in = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
        if not raised_in.is_relative_to(Path(hydra.__file__).parent):
            raise
        print(f"error: {error}", file=sys.stderr)  # what Hydra says of an override such as trainer=null
        sys.exit(1)
    finally:
        os.environ.pop("HYDRA_FULL_ERROR", None)


def flags_first(arguments: list[str]) -> list[str]:
    """The command line with its flags in front, where Hydra wants them: `train.py model=vgg6 --multirun seed=1,2`."""
    flags = [argument for argument in arguments if argument in ("--multirun", "-m", "--help", "-h", "--resolve")]
    return flags + [argument for argument in arguments if argument not in flags]


def explain(error: BaseException) -> str:
    """The message for an error of a user, of Hydra or OmegaConf, or of the file system."""
    if isinstance(error, MissingConfigException) and error.options:
        group, _, option = str(error.missing_cfg_file).rpartition("/")
        return str(unknown(option, group or "conf", error.options))
    cause = error if isinstance(error, OmegaConfBaseException) else error.__cause__
    if isinstance(cause, InterpolationKeyError) and cause.full_key and cause.msg:
        return f"{cause.full_key}: {str(cause.msg).splitlines()[0]}. Give {cause.full_key} a value, or define that key."
    if isinstance(cause, ConfigAttributeError | ConfigKeyError) and cause.parent_node is not None:
        path, _, key = str(cause.full_key).rpartition(".")
        valid = [name for name in cause.parent_node if name not in ("_target_", "hydra")]
        return str(unknown(key, path or "the configuration", valid))
    if isinstance(error, OverrideParseException):
        return f"{error.override!r} is not of the form key=value: {error}."
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}. {_REMEDIES.get(error.errno or 0, '')}".strip()
    text = re.sub(r"\n(See https?:\S+.*|\s*full_key:.*|\s*object_type=.*)", "", str(error))
    return " ".join([text.strip() or type(error).__name__, *getattr(error, "__notes__", ())])
