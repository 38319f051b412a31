"""Find the configuration files of this installation, and name its commands."""

from pathlib import Path

PACKAGE = Path(__file__).parent
INSTALLED = (PACKAGE / "conf").is_dir()  # from a wheel; a checkout has conf/ and its scripts beside src/
_INSTALLED_COMMANDS = {
    "python train.py": "paribus train",
    "python evaluate.py": "paribus evaluate",
    "python -m multirun_analysis": "paribus compare",
    "python -m paribus.data": "paribus data",
}


def find_config_directory() -> Path:
    """Return the directory of the configuration files: inside the installed package, or in a checkout beside src/."""
    return PACKAGE / "conf" if INSTALLED else PACKAGE.parents[1] / "conf"


def name_commands(text: str) -> str:
    """Return `text`, which names commands of a checkout, with the commands that this installation has."""
    for checkout, installed in _INSTALLED_COMMANDS.items() if INSTALLED else ():
        text = text.replace(checkout, installed)
    return text
