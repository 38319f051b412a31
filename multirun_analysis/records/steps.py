"""Read steps.parquet: the optimizer steps of runs, and their validations within epochs. Never torch."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from paribus import record

KEYS = ("step", "epoch")


def read_steps(directories: Mapping[str, Path]) -> tuple[pd.DataFrame, dict[str, str]]:
    """All steps.parquet as one frame: run, step, epoch, train/loss, lr, momentum, grad_norm and validation columns.

    Also return by run why a file cannot be read. A run without the file has no rows.
    """
    import pyarrow
    import pyarrow.parquet

    frames, unread = {}, {}
    for name, directory in directories.items():
        path = directory / record.STEPS
        if path.exists() and not path.is_file():
            unread[name] = f"{record.STEPS} is no regular file"
            continue
        try:
            table = pyarrow.parquet.ParquetFile(path, memory_map=True).read(use_threads=False)
            missing = [key for key in KEYS if key not in table.column_names]
            if missing:
                raise pyarrow.ArrowInvalid(f"it lacks {', '.join(missing)}")
            frame = pd.DataFrame({key: table[key].to_numpy().astype(float) for key in table.column_names}, copy=False)
            if not (np.isfinite(frame["step"]).all() and frame["step"].is_monotonic_increasing):
                raise pyarrow.ArrowInvalid("its steps are not in order")
        except FileNotFoundError:
            continue
        except (pyarrow.ArrowException, OSError, ValueError, TypeError) as error:
            unread[name] = f"{record.STEPS} cannot be read ({str(error).splitlines()[0]})"
            continue
        frames[name] = frame.astype({"step": int, "epoch": int})
    if not frames:
        return pd.DataFrame({"run": pd.Categorical([]), "step": [], "epoch": []}), unread
    whole = pd.concat(frames.values(), ignore_index=True)
    sizes = [len(frame) for frame in frames.values()]
    run = pd.Categorical.from_codes(np.repeat(np.arange(len(sizes)), sizes), pd.Index(list(frames)))
    whole.insert(0, "run", pd.Series(run))
    return whole, unread
