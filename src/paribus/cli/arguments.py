"""Turn what was typed into what Hydra parses."""

import filecmp
from pathlib import Path

from paribus.cli.mistakes import check_arguments
from paribus.cli.recorded import add_recorded
from paribus.errors import UserError
from paribus.installation import find_config_directory


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
    check_arguments(typed)
    return _add_config_directory(put_flags_first(add_recorded(typed)))


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
