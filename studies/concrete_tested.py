"""Report 3: what the test rows say, of the report's net and of a better one."""

from pathlib import Path

import numpy as np
import pandas as pd

from multirun_analysis.compare.inference import interval
from multirun_analysis.figures import weights
from multirun_analysis.report import tables
from studies import boosting, reports
from studies.page import (
    Claim,
    Material,
    NotMade,
    Section,
    further,
    made,
    number,
    spread,
    table,
    values_of,
    varying,
)


def final_fit(m: Material) -> Section:
    """The final fit"""
    c = m.comparison("concrete_final", metric="test_mse")
    tested, baseline = values_of(c, "test_mse"), values_of(c, "test_baseline_mse")
    first = c.study.runs.sort_values("seed").index[0]
    predicted = weights.predicted(Path(str(c.study.runs.loc[first, "directory"])), c.study.summaries[first])
    return Section(
        ["concrete_final"],
        [
            made(c),
            m.figure(
                "concrete_final", predicted, "Predictions of the final fit against the truth, on training and test rows"
            ),
            f"Test MSE over {len(tested)} splits: {spread(tested)}, splits {tested.min():.1f} to {tested.max():.1f}; of the mean "
            f"predictor {spread(baseline)} (the report: {reports.BASELINE:.2f}).",
        ],
        [
            Claim(
                "the final fit has a test MSE of 30.41",
                f"{reports.FINAL_TEST:.2f}",
                spread(tested),
                further(reports.FINAL_TEST, tested),
            )
        ],
    )


def a_better_net(m: Material) -> Section:
    """A better net, chosen on validation, against boosted trees"""
    candidates = m.comparison("concrete_candidates", metric="final_val_loss")
    c = m.comparison("concrete_best", metric="test_mse")
    try:
        trees = pd.read_csv(m.outputs / "concrete_best" / boosting.FILE)
    except FileNotFoundError:
        raise NotMade("concrete_best") from None
    rows, ends = [], {}
    for split in ("random", "grouped"):
        runs = c.study.runs[[run.level("data.split") == split for run in c.described.values()]]
        ours = runs.set_index(runs["directory"].map(lambda path: Path(path).name))["test_mse"].astype(float)
        beside = trees[trees["split"] == split].set_index("run").reindex(ours.index)
        difference = (ours - beside["test_mse"]).to_numpy()
        mean, low, high = overlapping(difference, float((beside["test"] / beside["train"]).mean()))
        ends[split] = high
        rows.append(
            {
                "split": split,
                "splits": str(len(ours)),
                "the net": spread(ours),
                "boosted trees": spread(beside["test_mse"]),
                "the net less the trees": f"{number(mean)} [{number(low)}, {number(high)}]",
                "splits won": f"{int((difference < 0).sum())} of {len(ours)}",
            }
        )
    net, boosted = (float(rows[0][key].split(" ")[0]) for key in ("the net", "boosted trees"))
    return Section(
        ["concrete_candidates", "concrete_best"],
        [
            f"Candidates, on 20 random splits of 80 / 10 / 10 %, by the validation loss of the last epoch: {made(candidates)}",
            table(
                varying(tables.settings(candidates), drop=["time (s)", "best val loss", "momentum"]), "All candidates"
            ),
            f"256-128 units, one of the leading ones, which are not told apart, fitted on training and validation rows (90 %), and scikit-learn's gradient boosting "
            f"({boosting.TREES} trees of depth {boosting.DEPTH}) on the very same rows. Test MSE over 20 splits each; the "
            f"test rows were read once: {made(c)}",
            table(rows),
            "The splits are of one table, so that their test rows and still more their training rows overlap: the "
            "interval of the difference is corrected for that (Nadeau & Bengio, Inference for the Generalization Error, "
            "2003), those of the two means are not.",
        ],
        [
            Claim(
                "gradient boosting beats nets on such a table (14.5 in a plain loop)",
                f"trees on our splits: {rows[0]['boosted trees']}",
                f"{rows[0]['the net']}; less the trees {rows[0]['the net less the trees']}",
                "the net is better"
                if ends["random"] < 0
                else "the net has the lower mean, but the interval of the difference holds 0"
                if net < boosted
                else "the net is not better",
            )
        ],
    )


def overlapping(differences: np.ndarray, ratio: float) -> tuple[float, float, float]:
    """Mean of differences over n random splits of one table, and the ends of its 95 % interval.

    `ratio`: of test to training rows. The variance of the mean is (1/n + ratio) s² instead of s²/n, as splits overlap
    (Nadeau & Bengio, Inference for the Generalization Error, 2003, section 3).
    """
    n = len(differences)
    mean, low, high = interval(differences)
    half = (high - low) / 2 * (1 + n * ratio) ** 0.5
    return mean, mean - half, mean + half
