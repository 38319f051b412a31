"""scikit-learn's gradient boosting on the very rows that the runs of a study were trained and tested on.

  python -m studies.boosting outputs/concrete_best

Writes STUDY/boosting.csv: a row a split. The trees see the features as they are in the table.
"""

import argparse
from pathlib import Path

from paribus.cli.errors import report_errors
from paribus.errors import UserError

TREES, DEPTH = 800, 5
FILE = "boosting.csv"


def fit_and_test(run: Path) -> dict[str, object]:
    """A row: mean squared error of trees on the test rows of a run, fitted to its training and validation rows."""
    import numpy as np
    from sklearn.ensemble import GradientBoostingRegressor

    from paribus.record import COMPLETED, read_summary
    from paribus.run.build import build_data

    summary = read_summary(run)
    if summary["status"] != COMPLETED:
        raise UserError(f"{run} is not completed. Make the study first.")
    config = summary["config"]
    if "split" not in config["data"]:
        raise UserError(f"{run} was not trained on a table: trees are for those alone.")
    whole = {**config["data"], "bins": None, "log_age": False, "train_on_validation": True}
    data = build_data({**config, "data": whole})
    data.setup("fit")
    data.setup("test")
    assert data.train is not None and data.test is not None
    (inputs, targets), (tested, truth) = ([tensor.numpy() for tensor in part] for part in (data.train, data.test))
    trees = GradientBoostingRegressor(n_estimators=TREES, max_depth=DEPTH, random_state=summary["seed"])
    errors = trees.fit(inputs, targets).predict(tested) - truth
    split = config["data"]["split"]
    return {"run": run.name, "seed": summary["seed"], "split": split, "train": len(targets), "test": len(truth),
            "test_mse": float(np.mean(errors**2)), "data": data.fingerprint}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, metavar="STUDY", help="a directory of runs on a table")
    options = parser.parse_args()
    try:
        import sklearn  # noqa: F401  before anything is read
    except ImportError:
        raise UserError("Boosted trees need scikit-learn: pip install -e '.[studies]'") from None
    import pandas as pd
    from rich.progress import track

    from paribus.record import find_runs, replace_file

    rows = [fit_and_test(run) for run in track(find_runs([options.study]), "Boosting", transient=True)]
    frame = pd.DataFrame(rows)
    with replace_file(options.study / FILE) as temporary:
        frame.to_csv(temporary, index=False)
    from paribus.terminal import make_console

    means = frame.groupby("split")["test_mse"].agg(["count", "mean"])
    for split, count, mean in means.itertuples():
        make_console().print(f"{split}: mean test MSE {mean:.2f} over {count} splits")


if __name__ == "__main__":
    with report_errors():
        main()
