"""Format values and lines for people."""

import re
import textwrap

TOGETHER = re.compile(r"(?<=[\d,]) (?=%|[-+.e\d]+\])")  # the blanks in "9 %" and "[0.79, 1.39]"
KEPT_BLANK = "\xa0"  # at which textwrap does not break


def wrap_lines(text: str, width: int, first: str = "", rest: str = "") -> list[str]:
    """Wrap a text into lines of at most `width` columns. No line ends within a number and its % or an interval.

    Args:
        first, rest: what the first line begins with, and the others.
    """
    kept = TOGETHER.sub(KEPT_BLANK, text)
    lines = textwrap.wrap(kept, width, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False)
    return [line.replace(KEPT_BLANK, " ") for line in lines]


def format_duration(seconds: float) -> str:
    """Return a length of time as a person would say it: 42 s, 3 min, 1 h 20 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
