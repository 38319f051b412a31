"""Describe a study to TensorBoard: in what its runs differ, and which statistics are worth comparing."""

import logging
from collections.abc import Sequence
from pathlib import Path

from paribus import record
from paribus.config.messages import explain
from paribus.sweep.plan import PlannedRun

log = logging.getLogger(__name__)
TARGET = "paribus.loggers.tensorboard.TensorBoard"
# before the first run has ended
EXPECTED = ("best_val_acc", "best_val_loss", "best_epoch", "final_val_loss", "final_train_loss", "train_seconds")


def describe_columns(planned: Sequence[PlannedRun], directory: Path) -> None:
    """Write into a study's directory what TensorBoard's table of its runs shows, where they log to TensorBoard.

    Runs of earlier commands in the same directory are among them.
    """
    nodes = [node for run in planned for node in run.job.config["logger"].values()]
    if not any(str(node.get("_target_")) == TARGET for node in nodes):
        return
    from paribus.loggers.hyperparameters import Hyperparameters  # these take time to import
    from paribus.loggers.study import find_columns, write_columns

    runs, statistics = [], dict[str, None]()
    for run in planned:
        assert run.job.choices is not None
        runs.append(Hyperparameters.collect(run.job.choices.options, run.job.choices.given, run.job.config))
    ours = {run.job.directory for run in planned}
    summaries = [run.summary for run in planned]
    for path in sorted({file.parent for file in directory.glob(f"*/{record.SUMMARY}")} - ours):
        _, summary = record.read_status(path)
        if summary is not None and {"choices", "set", "config"} <= set(summary):
            runs.append(Hyperparameters.collect(summary["choices"], summary["set"], summary["config"]))
            summaries.append(summary)
    for summary in summaries:
        statistics |= dict.fromkeys((summary or {}).get("statistics", {}))
    kept = [name for name in statistics if name.startswith(("best_", "final_")) or name == "train_seconds"]
    try:
        write_columns(directory, find_columns(runs), kept or EXPECTED)
    except OSError as error:  # the runs do not depend on it
        log.warning("%s TensorBoard takes the columns of this study from its runs.", explain(error))
