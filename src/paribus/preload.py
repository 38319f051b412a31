"""What the process imports that workers are copies of."""

import signal

from paribus.importing import heavy_imports

signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that leads; without it this one ends
with heavy_imports():
    import torch.utils.tensorboard  # noqa: F401

    import paribus.grouping
    import paribus.stacking  # noqa: F401
    from paribus.provenance import versions_and_commit

versions_and_commit()  # those of the code that has been read now
