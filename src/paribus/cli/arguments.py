"""Convert the typed arguments to those that Hydra parses."""

import filecmp
from pathlib import Path

from paribus.cli.mistakes import WITH_VALUE, check_arguments
from paribus.cli.recorded import add_recorded
from paribus.errors import UserError
from paribus.installation import find_config_directory


def put_flags_first(arguments: list[str]) -> list[str]:
    """Move flags to the front, where Hydra expects them: `train.py model=vgg6 --multirun seed=1,2`."""
    flags: list[str] = []
    others: list[str] = []
    is_value = False  # of the flag before it
    for text in arguments:
        (flags if is_value or text.startswith("-") else others).append(text)
        is_value = text in WITH_VALUE
    return flags + others


def prepare_arguments(typed: list[str]) -> list[str]:
    """Return the arguments for Hydra, with the overrides of a run to resume or rerun, and the user's conf/."""
    check_arguments(typed)
    return _add_config_directory(put_flags_first(add_recorded(typed)))


def _add_config_directory(arguments: list[str]) -> list[str]:
    """Add conf/ in the working directory as --config-dir, if the arguments name no directory.

    Raises UserError for a file in it with the name of a file of Paribus, which Hydra would ignore silently.
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
                f"{same_name} has the same name as {file}, so that it is unclear which one to use. Rename yours, or "
                "choose another directory with --config-dir=DIR."
            )
    return arguments if named is not None else [f"--config-dir={theirs}", *arguments]


def _find_flag(arguments: list[str], *names: str) -> str | None:
    """Find the value of a flag, after = or in the next argument; None if the flag is absent."""
    for text, next_text in zip(arguments, [*arguments, ""][1:], strict=True):
        name, equals, value = text.partition("=")
        if name in names:
            return value if equals else next_text
    return None
