"""Add the overrides of a recorded run to a command that resumes or repeats it."""

import re
from pathlib import Path
from typing import Any

from paribus.errors import UserError
from paribus.paths import parse_path
from paribus.record import RecordError, read_summary, read_yaml


def add_recorded(typed: list[str]) -> list[str]:
    """Put the overrides of the run in DIR before the typed ones, where these include resume=DIR or rerun=DIR.

    DIR is taken literally, with any = and , in it. rerun=DIR uses as many threads as the recorded run.
    """
    for text in typed:
        key, _, value = text.partition("=")
        if key in ("hydra.run.dir", "hydra.sweep.dir"):
            parse_path(value, key)
    orders = [text for text in typed if text.startswith(("resume=", "rerun="))]
    if not orders:
        return typed
    if len(orders) > 1 or any(text in ("--multirun", "-m") for text in typed):
        raise UserError("resume=DIR and rerun=DIR are for one run: give one of them, without --multirun.")
    order, _, path = orders[0].partition("=")
    directory = parse_path(path, f"{order}=").absolute()
    given = [text for text in typed if text not in orders]
    keys = {_get_key(text) for text in given}
    stored = [str(text) for text in _read_recorded(directory, "overrides.yaml") if _get_key(str(text)) not in keys]
    hydra = _read_recorded(directory, "hydra.yaml")["hydra"]
    sources = [source["path"] for source in hydra["runtime"]["config_sources"] if source["provider"] == "command-line"]
    flags = [f"--config-dir={source.removeprefix('file://')}" for source in sources]
    if hydra["job"]["config_name"] != "train":
        flags.append(f"--config-name={hydra['job']['config_name']}")
    flags += [text for text in hydra["overrides"]["hydra"] if text.startswith("hydra.searchpath=")]
    if "trust=true" not in typed:
        _require_own_files(directory, [*flags, *stored])
    flags += [f"hydra.sweeper.{key}=null" for key in ("params", "grids") if (hydra["sweeper"] or {}).get(key)]
    composed = _read_recorded(directory, "config.yaml")
    fixed = [f"{order}={_quote(str(directory))}"]
    if order == "resume" and hydra["mode"] == "MULTIRUN":
        fixed.append(f"study={_quote(str(composed['study']))}")
    if order == "resume":
        fixed.append(f"hydra.run.dir={_quote(str(directory))}")
    elif "threads" not in keys:
        fixed.append(f"threads={read_summary(directory).get('threads') or 'null'}")
    stored = [text for text in stored if _get_key(text) not in {_get_key(text) for text in fixed}]
    return [*flags, *stored, *given, *fixed]


def _require_own_files(directory: Path, arguments: list[str]) -> None:
    """Raise UserError if a record adds configuration files or settings of Hydra, since these can call any function."""
    own = f"--config-dir={Path('conf').absolute()}"
    foreign = [text for text in arguments if text != own and _get_key(text).startswith(("-", "hydra"))]
    if foreign:
        raise UserError(
            f"{directory} was composed with other configuration files or settings of Hydra ({foreign[0]}), which could "
            "call any code. If you trust it, add trust=true."
        )


def _get_key(override: str) -> str:
    return override.lstrip("+~").partition("=")[0]


def _read_recorded(directory: Path, name: str) -> Any:
    path = directory / ".hydra" / name
    try:
        stored = read_yaml(path)
        if not isinstance(stored, list if name == "overrides.yaml" else dict) or (
            name == "hydra.yaml" and "hydra" not in stored
        ):
            raise RecordError(f"{path} is damaged (it is not whole).")
        return stored
    except (FileNotFoundError, NotADirectoryError):
        study = any(directory.glob("*/.hydra"))
        remedy = "It is a study: name one of its runs, or start its command again." if study else f"There is no {path}."
        raise UserError(f"{directory} is not the directory of a run. {remedy}") from None
    except RecordError as error:
        raise UserError(f"{error} Train the run again.") from None


def _quote(text: str) -> str:
    """Quote a string for Hydra's grammar where necessary, and escape quotes and the backslashes before them."""
    if re.fullmatch(r"[A-Za-z_][\w./-]*", text):
        return text
    return "'" + re.sub(r"(\\*)'", r"\1\1\\'", text) + "'"
