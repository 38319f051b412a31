"""Importing what is large."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def heavy_imports() -> Iterator[None]:
    """For the imports of torch and Lightning: while they go on the garbage collector would take a sixth of 4 s, looking
    again and again through what has come to stay, and once more 0.8 s when the process ends."""
    if "torch" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
