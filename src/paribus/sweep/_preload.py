"""Import what workers need, in the process that they are forked from."""

import signal
from importlib import import_module
from io import BytesIO
from pkgutil import iter_modules

from paribus.process import importing_torch

signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the leader; without this line it ends this process
with importing_torch():
    import filelock  # noqa: F401
    import pyarrow.pandas_compat  # noqa: F401
    import tensorboard.plugins.hparams.metadata  # noqa: F401
    import torch.utils.tensorboard
    from omegaconf import OmegaConf

    import paribus.stacked.attempt  # noqa: F401
    from paribus import instruments, models, training
    from paribus.record.provenance import collect_provenance

    for package in (instruments, models, training):  # what configurations name
        for module in iter_modules(package.__path__, f"{package.__name__}."):
            import_module(module.name)

# What fills caches at its first use, in 20 ms a run: the grammar of interpolations, the writer of checkpoints.
OmegaConf.to_container(OmegaConf.create({"a": "${b.c}/${b.c}.log", "b": {"c": "d"}}), resolve=True)
torch.save({}, BytesIO())
collect_provenance()  # of the code as it was read now
