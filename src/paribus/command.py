"""The door of the command line: whatever goes wrong inside leaves as one message and an exit code."""

import errno
import logging
import os
import re
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
import yaml
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, InterpolationKeyError, OmegaConfBaseException

from paribus.errors import UserError, unknown
from paribus.record import read_summary

log = logging.getLogger(__name__)
_FULL = os.environ.get("HYDRA_FULL_ERROR", "0") == "1"  # as the user has set it; report_errors sets it too
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


@contextmanager
def report_errors(exit_code: int = 1) -> Iterator[None]:
    """Print an error as one message on standard error and exit with `exit_code`, or with 130 after Ctrl-C.

    With HYDRA_FULL_ERROR=1 in the environment, exceptions pass through with their traceback. Around a task function of
    Hydra as well, whose errors would otherwise reach the terminal in Hydra's way first.
    """
    if _FULL:
        yield
        return
    os.environ["HYDRA_FULL_ERROR"] = "1"  # else Hydra prints errors in its own way and exits before we see them
    try:
        yield
    except RunFailed:
        sys.exit(exit_code)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(130)
    except (UserError, HydraException, OmegaConfBaseException, OSError) as error:
        print(f"error: {explain(error)}", file=sys.stderr)
        sys.exit(exit_code)
    except ValueError as error:
        if isinstance(error.__cause__, OSError):  # a log that logging cannot open
            print(f"error: {explain(error.__cause__)}", file=sys.stderr)
            sys.exit(exit_code)
        raised_in = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
        if not raised_in.is_relative_to(Path(hydra.__file__).parent):
            raise
        print(f"error: {error}", file=sys.stderr)  # what Hydra says of an override such as trainer=null
        sys.exit(exit_code)
    finally:
        os.environ.pop("HYDRA_FULL_ERROR", None)


def flags_first(arguments: list[str]) -> list[str]:
    """The command line with its flags in front, where Hydra wants them: `train.py model=vgg6 --multirun seed=1,2`."""
    with_value = (
        "--config-dir",
        "-cd",
        "--config-name",
        "-cn",
        "--config-path",
        "-cp",
        "--cfg",
        "-c",
        "--package",
        "-p",
    )
    flags: list[str] = []
    others: list[str] = []
    waiting = False
    for text in arguments:
        (flags if waiting or text.startswith("-") else others).append(text)
        waiting = text in with_value
    return flags + others


def arguments(typed: list[str]) -> list[str]:
    """The command line as Hydra takes it: with resume=DIR and rerun=DIR, the overrides of the run in DIR come first.

    Such a DIR is a path as it stands, = and , in it included. rerun=DIR runs with the threads that DIR was made with.
    """
    orders = [text for text in typed if text.startswith(("resume=", "rerun="))]
    if not orders:
        return flags_first(typed)
    if len(orders) > 1 or any(text in ("--multirun", "-m") for text in typed):
        raise UserError("resume=DIR and rerun=DIR are for one run: give one of them, without --multirun.")
    order, _, path = orders[0].partition("=")
    if not path:
        raise UserError(f"{order}= needs the directory of a run.")
    directory = Path(path).absolute()
    given = [text for text in typed if text not in orders]
    keys = {_key(text) for text in given}
    stored = [text for text in _stored(directory, "overrides.yaml") if _key(text) not in keys]
    whole = _stored(directory, "hydra.yaml")["hydra"]
    added = [source["path"] for source in whole["runtime"]["config_sources"] if source["provider"] == "command-line"]
    flags = [f"--config-dir={source.removeprefix('file://')}" for source in added]
    if whole["job"]["config_name"] != "train":
        flags.append(f"--config-name={whole['job']['config_name']}")
    flags += [text for text in whole["overrides"]["hydra"] if text.startswith("hydra.searchpath=")]
    flags += [f"hydra.sweeper.{key}=null" for key in ("params", "grids") if (whole["sweeper"] or {}).get(key)]
    composed = _stored(directory, "config.yaml")
    fixed = [f"{order}={_quoted(str(directory))}"]
    if order == "resume" and whole["mode"] == "MULTIRUN":
        fixed.append(f"study={_quoted(str(composed['study']))}")
    if order == "resume":
        fixed.append(f"hydra.run.dir={_quoted(str(directory))}")
    elif "threads" not in keys:
        fixed.append(f"threads={read_summary(directory).get('threads') or 'null'}")
    stored = [text for text in stored if _key(text) not in {_key(text) for text in fixed}]
    return flags_first([*flags, *stored, *given, *fixed])


def _key(override: str) -> str:
    return override.lstrip("+~").partition("=")[0]


def _stored(directory: Path, name: str) -> Any:
    path = directory / ".hydra" / name
    try:
        stored = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(stored, list if name == "overrides.yaml" else dict) or (
            name == "hydra.yaml" and "hydra" not in stored
        ):
            raise ValueError("it is not whole")
        return stored
    except (FileNotFoundError, NotADirectoryError):
        study = any(directory.glob("*/.hydra"))
        remedy = "It is a study: name one of its runs, or start its command again." if study else f"There is no {path}."
        raise UserError(f"{directory} is not the directory of a run. {remedy}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(f"{path} is damaged ({str(error).splitlines()[0]}). Make the run again.") from None


def _quoted(text: str) -> str:
    """As a string of Hydra's grammar, quoted where need be; there quotes and backslashes before them are special."""
    if re.fullmatch(r"[A-Za-z_][\w./-]*", text):
        return text
    return "'" + re.sub(r"(\\*)'", r"\1\1\\'", text) + "'"


def quiet_libraries() -> None:
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
