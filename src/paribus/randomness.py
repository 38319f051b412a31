"""Derive every random number of a run from its seed, through one stream per purpose.

Streams are independent: longer training does not change the split, and another network does not change the order of
the batches. Streams used during training restart with every epoch, so a resumed run draws the numbers of an
uninterrupted one.
"""

import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def derive_seed(seed: int, stream: str, epoch: int = 0) -> int:
    """Return a 63-bit seed for the purpose `stream` in an epoch (counted from 0) of the run with this `seed`."""
    sequence = np.random.SeedSequence([seed, zlib.crc32(stream.encode()), epoch])
    return int(sequence.generate_state(1, np.uint64)[0]) >> 1


def make_generator(seed: int, stream: str, epoch: int = 0, device: torch.device | str = "cpu") -> torch.Generator:
    """Return the stream's generator, on the CPU unless the draws may depend on the device."""
    return torch.Generator(device).manual_seed(derive_seed(seed, stream, epoch))


def seed_globally(seed: int, stream: str, epoch: int = 0) -> None:
    """Seed torch, NumPy, Python and the workers of loaders, for code that draws from their global generators.

    seed_everything leaves two variables in the environment; see restoring_seed_variables.
    """
    from lightning import seed_everything

    derived = derive_seed(seed, stream, epoch)
    seed_everything(derived % 2**32, workers=True, verbose=False)
    torch.manual_seed(derived)  # all 63 bits, as where nothing but torch draws


@contextmanager
def restoring_seed_variables() -> Iterator[None]:
    """Restore at the end of the block the environment variables that seed_globally sets."""
    before = {name: os.environ.get(name) for name in ("PL_GLOBAL_SEED", "PL_SEED_WORKERS")}
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
