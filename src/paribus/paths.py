"""Read paths that users give."""

from pathlib import Path

from paribus.errors import UserError


def parse_path(text: str | Path, option: str) -> Path:
    """Return the path that `option` gives. Raises UserError for an empty one, which would mean the working directory.

    An empty path is most often a shell variable that is not set. A user who means the working directory types `.`.
    """
    if isinstance(text, str) and not text.strip():
        raise UserError(f"{option} is empty. Name a path (`.` for the working directory).")
    return Path(text)
