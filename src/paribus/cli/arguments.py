"""Turn what was typed into what Hydra parses."""

import filecmp
import re
from pathlib import Path
from typing import Any

import yaml

from paribus.errors import UserError
from paribus.installation import find_config_directory
from paribus.paths import parse_path
from paribus.record import read_summary


def put_flags_first(arguments: list[str]) -> list[str]:
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


def prepare_arguments(typed: list[str]) -> list[str]:
    """Return the command line as Hydra takes it, with the overrides of a run to go on with, and the user's conf/."""
    return _add_config_directory(put_flags_first(_add_stored(typed)))


def _add_config_directory(arguments: list[str]) -> list[str]:
    """Give conf/ in the working directory as --config-dir, where the arguments name none.

    Raises UserError for a file in it that has the name of one of Paribus', since Hydra would ignore it silently.
    """
    ours = find_config_directory()
    named = _find_flag(arguments, "--config-dir", "-cd")
    theirs = Path(named or "conf").absolute()
    replaced = _find_flag(arguments, "--config-path", "-cp")
    if replaced is not None or not theirs.is_dir() or theirs.resolve() == ours.resolve():
        return arguments
    for file in sorted(ours.rglob("*.yaml")):
        same_name = theirs / file.relative_to(ours)
        if same_name.exists() and not filecmp.cmp(file, same_name, shallow=False):
            raise UserError(
                f"{same_name} has the name of {file}, so that nobody could tell which is meant. Rename yours, or name "
                "another directory with --config-dir=DIR."
            )
    return arguments if named is not None else [f"--config-dir={theirs}", *arguments]


def _find_flag(arguments: list[str], *names: str) -> str | None:
    """Find the value of a flag, which stands behind = or in the next argument; None where it is not given."""
    for text, following in zip(arguments, [*arguments, ""][1:], strict=True):
        name, equals, value = text.partition("=")
        if name in names:
            return value if equals else following
    return None


def _add_stored(typed: list[str]) -> list[str]:
    """Put the overrides of the run in DIR, named by resume=DIR or rerun=DIR, before those that were typed.

    Such a DIR is a path as it stands, = and , in it included. rerun=DIR runs with the threads that DIR was made with.
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
    stored = [text for text in _read_stored(directory, "overrides.yaml") if _get_key(text) not in keys]
    whole = _read_stored(directory, "hydra.yaml")["hydra"]
    added = [source["path"] for source in whole["runtime"]["config_sources"] if source["provider"] == "command-line"]
    flags = [f"--config-dir={source.removeprefix('file://')}" for source in added]
    if whole["job"]["config_name"] != "train":
        flags.append(f"--config-name={whole['job']['config_name']}")
    flags += [text for text in whole["overrides"]["hydra"] if text.startswith("hydra.searchpath=")]
    flags += [f"hydra.sweeper.{key}=null" for key in ("params", "grids") if (whole["sweeper"] or {}).get(key)]
    composed = _read_stored(directory, "config.yaml")
    fixed = [f"{order}={_quote(str(directory))}"]
    if order == "resume" and whole["mode"] == "MULTIRUN":
        fixed.append(f"study={_quote(str(composed['study']))}")
    if order == "resume":
        fixed.append(f"hydra.run.dir={_quote(str(directory))}")
    elif "threads" not in keys:
        fixed.append(f"threads={read_summary(directory).get('threads') or 'null'}")
    stored = [text for text in stored if _get_key(text) not in {_get_key(text) for text in fixed}]
    return [*flags, *stored, *given, *fixed]


def _get_key(override: str) -> str:
    return override.lstrip("+~").partition("=")[0]


def _read_stored(directory: Path, name: str) -> Any:
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


def _quote(text: str) -> str:
    """As a string of Hydra's grammar, quoted where need be; there quotes and backslashes before them are special."""
    if re.fullmatch(r"[A-Za-z_][\w./-]*", text):
        return text
    return "'" + re.sub(r"(\\*)'", r"\1\1\\'", text) + "'"
