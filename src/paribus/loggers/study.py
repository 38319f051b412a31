"""Tell TensorBoard which columns its table of a study's runs has.

By itself TensorBoard takes the columns from one run, or shows every constant and every curve.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.plugins.hparams import summary_v2

from paribus.loggers.events import SUMMARY, EventFile, put_last
from paribus.loggers.hyperparameters import Hyperparameters
from paribus.record import replace_file

NAME = "events.out.tfevents.0000000000.study"  # one file, written anew: TensorBoard reads one table a directory


def find_columns(runs: Sequence[Hyperparameters]) -> dict[str, list[Any]]:
    """Find in what the runs differ: the values of each chosen hyperparameter that is not the same in all runs.

    Where all runs are alike, return every chosen one.
    """
    keys = dict.fromkeys(key for run in runs for key in run.chosen)
    values = {key: [run.values.get(key) for run in runs] for key in keys}
    differing = {key: found for key, found in values.items() if any(value != found[0] for value in found)}
    return differing or values


def write_columns(directory: Path, columns: Mapping[str, Sequence[Any]], metrics: Sequence[str]) -> None:
    """Write the columns of a study's table into its directory: hyperparameters with their values, and statistics."""
    hparams = [summary_v2.HParam(key, _find_domain(values)) for key, values in columns.items()]
    # the status of each run, which is known at its end
    hparams.append(summary_v2.HParam("status", summary_v2.Discrete(["completed", "diverged"])))
    shown = [summary_v2.Metric(put_last(f"{SUMMARY}/{name}"), display_name=name) for name in metrics]
    table = summary_v2.hparams_config_pb(hparams, shown, time_created_secs=0)
    with replace_file(directory / NAME) as temporary:
        file = EventFile(temporary)
        file.add_event(Event(file_version="brain.Event:2"))
        file.add_event(Event(summary=table))
        file.close()


def _find_domain(values: Sequence[Any]) -> Any:
    """Return the values as TensorBoard's domain of a column, by which it can be filtered; None for mixed types."""
    known = {value for value in values if value is not None}
    kinds = {type(value) for value in known}
    if kinds <= {int, float}:
        return summary_v2.Discrete(sorted(map(float, known)))
    return summary_v2.Discrete(sorted(known)) if len(kinds) == 1 else None
