"""Name the files, columns and statuses of a run record."""

METRICS = "metrics.csv"
LAYERS = "layers.parquet"
FOLDS = "folds.parquet"
STEPS = "steps.parquet"
PREDICTIONS = "predictions.parquet"
WEIGHTS = "weights.npz"
TWINS = "twins.npz"
SUMMARY = "summary.json"
PATCH = "code.patch"
LOG = "train.log"
BEST = "checkpoints/best.ckpt"
LAST = "checkpoints/last.ckpt"
LOCK = ".lock"
CLAIMS = ".claims"  # of a study
PLAN = "plan.json"  # of a study: the runs that its last command has planned
STOP = ".stop"  # a request to stop the run or study
UNTIL = "until.json"  # of a study whose seeds are added in looks
TRASH = ".trash"  # of removed runs; nothing in it is a run to read
COMPOSITION = ".hydra/config.yaml"
# Files that a run rewrites, in the order in which they are removed: as long as one is there, it is a run to repeat.
WRITTEN = (LAST, BEST, LAYERS, FOLDS, STEPS, TWINS, PREDICTIONS, WEIGHTS, METRICS, SUMMARY)
N_FOLDS = 5  # of the validation samples
N_PROBE = 256  # first validation samples, whose predictions are recorded each epoch
SKETCH_SIZE = 127  # dimensions that weights are projected onto; prime, see training/twins.py
COMPLETED, DIVERGED, FAILED, INTERRUPTED = "completed", "diverged", "failed", "interrupted"  # written in summary.json
RUNNING, UNFINISHED, DAMAGED, ABSENT = "running", "unfinished", "damaged", "absent"  # inferred by readers
PAUSED = "paused"  # likewise: left behind by a search, or paused by pause=N
FINISHED = (COMPLETED, DIVERGED)
WRITTEN_STATUSES = (COMPLETED, DIVERGED, FAILED, INTERRUPTED)
