"""Report 3: depth, initial weights and the split of the rows."""

from pathlib import Path

from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.figures import settings, weights
from multirun_analysis.figures.depth import depth_against_gradient
from studies import charts, reports
from studies.page import (
    Claim,
    Material,
    Section,
    broken,
    further,
    made,
    number,
    spread,
    table,
    told,
    values_of,
)


def depths(m: Material) -> Section:
    """How deep can a plain net be?"""
    c = m.comparison("concrete_depths")
    said = {16: reports.DEPTH_16, 128: reports.DEPTH_128}
    rows, groups = [], {}
    for depth in (1, 2, 4, 8, 16, 32, 64, 128):
        values = values_of(c, "best_val_loss", model__depth=depth)
        baseline = values_of(c, "baseline_val_loss", model__depth=depth)
        groups[f"{depth} layer{'s' * (depth > 1)}"] = values
        rows.append(
            {
                "hidden layers of 32": str(depth),
                "best validation MSE": spread(values),
                "of the mean predictor": number(baseline.mean()),
                "the report": f"{said[depth]:.1f}" if depth in said else "",
                "share of runs within 5 % of the mean predictor": f"{(values > 0.95 * baseline).sum()} of {len(values)}",
                "not completed": broken(c, model__depth=depth),
            }
        )
    deepest, baseline = (
        values_of(c, "best_val_loss", model__depth=128),
        values_of(c, "baseline_val_loss", model__depth=128),
    )
    ratio = deepest / baseline
    sixteen = values_of(c, "best_val_loss", model__depth=16)
    names = {f"{depth} layers": _run_of(c, "model.depth", depth) for depth in (16, 128)}
    return Section(
        ["concrete_depths"],
        [
            made(c),
            told(c),
            m.figure(
                "concrete_depths",
                charts.dots(
                    groups,
                    "best validation MSE",
                    "Plain relu nets, 32 units a layer: a dot a run, a bar the mean",
                    log=True,
                    line=baseline.mean(),
                    line_label="mean predictor",
                ),
                "Best validation MSE by depth: nets of many layers predict the mean",
            ),
            table(rows, "All depths, beside the report"),
            m.figure(
                "concrete_depths_predicted",
                weights.predicted_side_by_side(names),
                "Predicted against true at 16 and 128 layers",
            ),
            m.figure(
                "concrete_depths_gradient",
                depth_against_gradient(c),
                "Gradient of the first layer, and the result, by depth",
            ),
        ],
        [
            Claim(
                "128 layers learn nothing (283.1; mean predictor 288.6)",
                f"{reports.DEPTH_128:.1f}",
                f"{ratio.min():.3f} to {ratio.max():.3f} of the mean predictor's MSE",
                "holds: every seed is within 5 % of the mean predictor"
                if len(ratio) and (ratio > 0.95).all()
                else "does not hold for every seed",
            ),
            Claim(
                "16 layers still learn (31.8)",
                f"{reports.DEPTH_16:.1f}",
                spread(sixteen),
                further(reports.DEPTH_16, sixteen),
            ),
        ],
    )


def _run_of(c: Comparison, factor: str, level: object) -> Path:
    """The first seed's run of a level."""
    runs = c.study.runs[[run.level(factor) == level for run in c.described.values()]]
    return Path(str(runs.sort_values("seed")["directory"].iloc[0]))


def initial_weights(m: Material) -> Section:
    """Beyond the report: initial weights as a factor next to the activation"""
    c = m.comparison("concrete_init")
    rows = [
        {"activation": activation}
        | {
            f"init {init}": spread(values_of(c, "best_val_loss", activation=activation, model__init=init))
            for init in ("torch", "auto", "orthogonal")
        }
        for activation in ("relu", "tanh", "sigmoid")
    ]
    return Section(
        ["concrete_init"],
        [
            made(c),
            told(c),
            m.figure(
                "concrete_init",
                settings.two_factors(c, "activation", "model.init"),
                "Best validation MSE by activation and initial weights",
            ),
            "Best validation MSE of 16 hidden layers of 32 units.",
            table(rows),
        ],
    )


def splits(m: Material) -> Section:
    """Beyond the report: mixes that training has seen, and mixes that it has not"""
    c = m.comparison("concrete_splits")
    ours = {split: values_of(c, "best_val_loss", data__split=split) for split in ("random", "grouped")}
    return Section(
        ["concrete_splits"],
        [
            made(c),
            told(c),
            table(
                [
                    {"split": "random rows, as in the report", "best validation MSE": spread(ours["random"])},
                    {"split": "whole mixes (data.split=grouped)", "best validation MSE": spread(ours["grouped"])},
                ]
            ),
            "The 1,030 rows hold 427 mixes, each tested at several ages: a random split asks about mixes whose strength at other ages the net was trained on.",
        ],
    )
