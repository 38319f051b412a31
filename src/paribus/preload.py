"""What the process imports that workers are copies of."""

from paribus.importing import heavy_imports

with heavy_imports():
    import torch.utils.tensorboard  # noqa: F401

    import paribus.grouping
    import paribus.stacking  # noqa: F401
    from paribus.provenance import versions_and_commit

versions_and_commit()  # those of the code that has been read now
