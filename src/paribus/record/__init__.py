"""Read and write run records, and identify experiments.

A run owns one directory. `metrics.csv` grows by a row per epoch; `summary.json` is written last, so a directory without
it is an unfinished run. The README has a table of all files. Nothing here imports torch. `tables` (Parquet) and
`provenance` are not imported here, because they are slow to import.
"""

from paribus.record.files import (
    RecordError,
    clear_record,
    find_runs,
    read_metrics,
    read_status,
    read_summary,
    remove_temporary,
    replace_file,
    write_json,
)
from paribus.record.identity import (
    EXECUTION_KEYS,
    OWN_CALLBACKS,
    flatten,
    identify,
    make_paths_absolute,
    select_experimental,
    use_current_targets,
    use_stable_targets,
)
from paribus.record.locks import BusyError, is_running, lock_directory
from paribus.record.schema import (
    ABSENT,
    BEST,
    COMPLETED,
    COMPOSITION,
    DAMAGED,
    DIVERGED,
    FAILED,
    FINISHED,
    FOLDS,
    INTERRUPTED,
    LAST,
    LAYERS,
    LOCK,
    LOG,
    METRICS,
    N_FOLDS,
    PREDICTIONS,
    RUNNING,
    SUMMARY,
    UNFINISHED,
    WEIGHTS,
)

__all__ = [
    "ABSENT", "BEST", "COMPLETED", "COMPOSITION", "DAMAGED", "DIVERGED", "EXECUTION_KEYS", "FAILED", "FINISHED",
    "FOLDS", "INTERRUPTED", "LAST", "LAYERS", "LOCK", "LOG", "METRICS", "N_FOLDS", "OWN_CALLBACKS",
    "PREDICTIONS", "RUNNING", "SUMMARY", "UNFINISHED", "WEIGHTS", "BusyError", "RecordError", "clear_record",
    "find_runs", "flatten", "identify", "is_running", "lock_directory", "make_paths_absolute", "read_metrics",
    "read_status", "read_summary", "remove_temporary", "replace_file", "select_experimental",
    "use_current_targets", "use_stable_targets", "write_json",
]  # fmt: skip
