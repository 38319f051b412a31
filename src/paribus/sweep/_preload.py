"""Import what workers need, in the process that they are forked from."""

import signal

from paribus.process import importing_torch

signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the leader; without this line it ends this process
with importing_torch():
    import torch.utils.tensorboard  # noqa: F401

    import paribus.stacked.attempt  # noqa: F401
    from paribus.record.provenance import collect_provenance

collect_provenance()  # of the code as it was read now
