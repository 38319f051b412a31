"""What the process imports that workers are copies of."""

import signal

from paribus.process import importing_torch

signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that leads; without it this one ends
with importing_torch():
    import torch.utils.tensorboard  # noqa: F401

    import paribus.stacked.attempt  # noqa: F401
    from paribus.record.provenance import collect_provenance

collect_provenance()  # those of the code that has been read now
