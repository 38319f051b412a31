"""Every random number of a run follows from its seed, through one stream for each purpose.

Streams are independent of each other: a longer training does not change the split, and another network does not change
the order of the batches. A stream that is used while training starts anew with every epoch, so that a run that is taken
up again draws what an undisturbed one draws.
"""

import zlib

import numpy as np
import torch


def stream_seed(seed: int, stream: str, epoch: int = 0) -> int:
    """A seed of 63 bits for one purpose (`stream`) in one epoch, counted from 0, of a run with this `seed`."""
    sequence = np.random.SeedSequence([seed, zlib.crc32(stream.encode()), epoch])
    return int(sequence.generate_state(1, np.uint64)[0]) >> 1


def generator(seed: int, stream: str, epoch: int = 0) -> torch.Generator:
    """A generator on the CPU for that stream, so that every device sees the same draws."""
    return torch.Generator().manual_seed(stream_seed(seed, stream, epoch))
