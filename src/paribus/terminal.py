"""Print on the terminal: user text is never markup, and a terminal that is gone stops no training."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console


def make_console(**options: Any) -> "Console":
    """Return a console that shows text as it stands: no markup, no emoji codes, no highlighting.

    Names of studies, columns and classes come from users, and `x[/b]` is a name. Use rich's Text for styles.
    """
    from rich.console import Console  # 30 ms, which --cfg job need not wait for

    return Console(markup=False, emoji=False, highlight=False, **options)


class GuardedStream(io.TextIOBase):
    """A standard stream that reports its first write error to `report_to`, drops what follows, and raises nothing.

    For commands whose work matters more than their output: `python train.py ... | head -1` trains to the end.
    """

    def __init__(self, stream: TextIO, report_to: io.TextIOBase | TextIO | None):
        self._stream = stream
        self._report_to = report_to
        self._failed = False

    def write(self, text: str) -> int:
        if not self._failed:
            try:
                self._stream.write(text)
                self._stream.flush()
            except OSError as error:
                self._fail(error)
        return len(text)

    def flush(self) -> None:
        """Do nothing: every write is flushed."""

    def _fail(self, error: OSError) -> None:
        self._failed = True
        with suppress(OSError, ValueError):  # a stream without a file descriptor
            # Python flushes the stream once more when it exits, and would complain there.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
        if self._report_to is not None:
            self._report_to.write(
                f"error: {self._stream.name}: {error.strerror or error}. The command continues without it.\n"
            )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding


@contextmanager
def guarding_streams() -> Iterator[None]:
    """Have the block survive a terminal that is gone or full. For entry points only."""
    streams = sys.stdout, sys.stderr
    sys.stderr = GuardedStream(sys.stderr, None)
    sys.stdout = GuardedStream(sys.stdout, sys.stderr)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams


def replace_unencodable() -> None:
    """Print what the terminal's encoding lacks as `?`. For entry points only."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
