"""Add the overrides of a recorded run to a command that resumes or repeats it."""

import re
import sys
from pathlib import Path
from typing import Any

from paribus.errors import UserError
from paribus.installation import find_config_directory
from paribus.paths import parse_path, suggest_path
from paribus.record import RecordError, read_summary, read_yaml


def add_recorded(typed: list[str]) -> list[str]:
    """Put the overrides of the run in DIR before the typed ones, where these include resume=DIR or rerun=DIR.

    DIR is taken literally, with any = and , in it, but without quotes around it, which other values of Hydra would
    need. rerun=DIR uses as many threads as the recorded run.
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
    quoted = re.fullmatch(r"(['\"])(.*)\1", path)
    directory = parse_path(quoted[2] if quoted else path, f"{order}=").absolute()
    given = [text for text in typed if text not in orders]
    keys = {_get_key(text) for text in given}
    hydra = _read_recorded(directory, "hydra.yaml")["hydra"]
    recorded = [str(text) for text in _read_recorded(directory, "overrides.yaml")]
    try:
        if _names_loss_by_model(hydra):
            recorded = [re.sub(r"^model\.loss=", "loss=", text) for text in recorded]
        sources = [s["path"] for s in hydra["runtime"]["config_sources"] if s["provider"] == "command-line"]
        flags = [f"--config-dir={source.removeprefix('file://')}" for source in sources]
        if hydra["job"]["config_name"] != "train":
            flags.append(f"--config-name={hydra['job']['config_name']}")
        flags += [text for text in hydra["overrides"]["hydra"] if text.startswith("hydra.searchpath=")]
        swept = [f"hydra.sweeper.{key}=null" for key in ("params", "grids") if (hydra["sweeper"] or {}).get(key)]
        in_study = hydra["mode"] == "MULTIRUN"
    except (KeyError, TypeError, AttributeError) as error:
        file = directory / ".hydra" / "hydra.yaml"
        raise UserError(f"{file} is damaged (it lacks {error}). Make the run again.") from None
    stored = [text for text in recorded if _get_key(text) not in keys]
    if "trust=true" not in typed:
        _require_own_files(directory, [*flags, *stored])
    flags += swept
    composed = _read_recorded(directory, "config.yaml")
    if order == "rerun":
        _warn_of_other_code(directory)
    fixed = [f"{order}={_quote(str(directory))}"]
    if order == "resume" and in_study:
        fixed.append(f"study={_quote(str(composed.get('study') or directory.parent.name))}")
    if order == "resume":
        fixed.append(f"hydra.run.dir={_quote(str(directory))}")
    elif "threads" not in keys:
        threads = read_summary(directory).get("threads")
        fixed.append(f"threads={threads if isinstance(threads, int) else 'null'}")
    stored = [text for text in stored if _get_key(text) not in {_get_key(text) for text in fixed}]
    return [*flags, *stored, *given, *fixed]


def _warn_of_other_code(directory: Path) -> None:
    """Print how to get the code that made a record, before anything of it is composed with other code."""
    from paribus.record.provenance import collect_code, explain_other_code

    said = explain_other_code(directory, collect_code())
    if said is not None:
        print(f"note: {said}", file=sys.stderr)


def _names_loss_by_model(hydra: Any) -> bool:
    """Return whether a run of one of our models was recorded by a version in which model.loss=NAME chose its loss."""
    choices = hydra["runtime"].get("choices") or {}
    return "loss" not in choices and (find_config_directory() / "model" / f"{choices.get('model')}.yaml").exists()


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
        whole = {
            "overrides.yaml": isinstance(stored, list) and all(isinstance(text, str) for text in stored),
            "hydra.yaml": isinstance(stored, dict) and isinstance(stored.get("hydra"), dict),
        }.get(name, isinstance(stored, dict))
        if not whole:
            raise RecordError(f"{path} is damaged (it is not whole).")
        return stored
    except (FileNotFoundError, NotADirectoryError):
        if not directory.exists():
            raise UserError(f"{directory} does not exist.{suggest_path(directory)}") from None
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
