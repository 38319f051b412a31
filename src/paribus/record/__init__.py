"""Read and write run records, and identify experiments.

A run owns one directory. `metrics.csv` grows by a row per epoch; `summary.json` is written last, so a directory without
it is an unfinished run. The README has a table of all files. Nothing here imports torch. `tables` (Parquet) and
`provenance` are not imported here, because they are slow to import.
"""

from paribus.record.faults import PARTS, find_config_fault
from paribus.record.files import (
    RecordError,
    advise_repeat,
    clear_record,
    describe_damage,
    find_runs,
    read_metrics,
    read_status,
    read_summary,
    read_text,
    read_yaml,
    remove_temporary,
    replace_file,
    require_regular,
    to_plain,
    write_json,
)
from paribus.record.identity import (
    EXECUTION_KEYS,
    NAMED_LOSSES,
    OWN_CALLBACKS,
    PROCESS_KEYS,
    flatten,
    identify,
    make_paths_absolute,
    select_experimental,
    use_current_targets,
    use_stable_targets,
)
from paribus.record.locks import BusyError, claim_directory, is_running, lock_directory
from paribus.record.metric import Metric, parse_metric, read_best, to_columns
from paribus.record.schema import *
from paribus.record.seeds import SOURCES, find_fresh_seed, resolve_seeds, use_canonical_seeds
from paribus.record.stop import AlreadyRequestedError, StopRequest, find_stop, request_stop, withdraw_stop
from paribus.record.study_plan import PlanEntry, StudyPlan, find_study_plans, read_study_plan, write_study_plan
from paribus.record.until import Judgement, TakenLook, UntilPlan, read_plan, write_plan
