"""Format values and lines for people."""

import re
import textwrap

TOGETHER = re.compile(r"(?<=[\d,]) (?=%|[-+.e\d]+\])")  # the blanks in "9 %" and "[0.79, 1.39]"
KEPT_BLANK = "\xa0"  # at which neither textwrap nor a browser breaks


def keep_together(text: str) -> str:
    """Let no line end within a number and its %, or within an interval."""
    return TOGETHER.sub(KEPT_BLANK, text)


def wrap_lines(text: str, width: int, first: str = "", rest: str = "") -> list[str]:
    """Wrap a text, as `keep_together` has it, into lines of at most `width` columns.

    Args:
        first, rest: what the first line begins with, and the others.
    """
    lines = textwrap.wrap(
        keep_together(text), width, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False
    )
    return [line.replace(KEPT_BLANK, " ") for line in lines]


def format_duration(seconds: float) -> str:
    """Return a length of time as a person would say it: 42 s, 3 min, 1 h 20 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
