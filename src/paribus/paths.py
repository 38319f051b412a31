"""Read paths that users give."""

from difflib import get_close_matches
from pathlib import Path

from paribus.errors import UserError

LONGEST_NAME = 255  # bytes, of common file systems


def parse_path(text: str | Path, option: str) -> Path:
    """Return the path that `option` gives. Raises UserError for an empty one, which would mean the working directory.

    An empty path is most often a shell variable that is not set. A user who means the working directory types `.`.
    """
    if isinstance(text, str) and not text.strip():
        raise UserError(f"{option} is empty. Name a path (`.` for the working directory).")
    path = Path(text)
    if any(len(part.encode()) > LONGEST_NAME for part in path.parts):
        raise UserError(f"{option} names a file or directory of more than {LONGEST_NAME} bytes. Choose a shorter name.")
    return path


def suggest_path(missing: Path) -> str:
    """Ask whether a path in outputs/, or one of nearly the same name, was meant; empty where there is none."""
    for folder in (Path("outputs") / missing.parent, missing.parent):
        names = [path.name for path in folder.iterdir() if path != missing] if folder.is_dir() else []
        close = get_close_matches(missing.name, names, n=1, cutoff=0.75)
        if close:
            return f" Did you mean {folder / close[0]}?"
    return ""
