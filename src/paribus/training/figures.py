"""Keep a run from failing by a figure."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)


@contextmanager
def warn_of_failure(figure: str) -> Iterator[None]:
    """Turn whatever goes wrong in the block into a warning that names the figure: a run does not fail by a figure."""
    try:
        yield
    except Exception as error:  # noqa: BLE001
        log.warning("%s could not be drawn: %s: %s", figure, type(error).__name__, error)
