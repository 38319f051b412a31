"""Report 2: VGG6 on CIFAR-10."""

from collections.abc import Callable

import pandas as pd

from multirun_analysis.figures import curves, settings
from multirun_analysis.report import tables
from multirun_analysis.report.result_tables import comparison_csv
from multirun_analysis.report.sentences import count
from paribus import record
from studies import charts, fast, reports, tuned
from studies.fashion_mnist import curve
from studies.page import (
    Claim,
    Material,
    Section,
    made,
    percent,
    runs_with,
    spread,
    table,
    told,
    values_of,
    varying,
)

# What the report drew, and what draws it here.
FIGURES = {
    "parallel coordinates": "vgg6_report_standin: parallel, and the page, where they can be brushed",
    "validation accuracy against step": "vgg6_report_standin: steps",
    "four panels": "vgg6_report_standin: panels_by_activation",
    "a panel for each activation, optimizer": "vgg6_report_standin: levels_of_activation, levels_of_optim",
    "effects of batch size, epochs, learning rate": "vgg6_report_standin: levels_of_data.batch_size, learning_rate, tables.md",
    "the winner run again": "vgg6_winner: curves_val_acc",
}


def sections() -> list[Callable[[Material], Section]]:
    return [the_reports_runs, activations, initial_weights, winner, tuned.vgg6, fast.search, fast.left_out, fast.alone]


def the_reports_runs(m: Material) -> Section:
    """The report's 35 runs as they were, on a stand-in"""
    c = m.comparison("vgg6_report_standin")
    theirs = reports.vgg6_runs()
    pairs = comparison_csv(c)
    confounded = pairs[pairs["verdict"] == "confounded"]
    by_factor = [
        {"factor": factor, "pairs of levels": len(group), "confounded": int((group["verdict"] == "confounded").sum())}
        for factor, group in pairs.groupby("factor", sort=False)
    ]
    renamed = (theirs["activation"] == "sigmoide").sum()
    return Section(
        ["vgg6_report_standin"],
        [
            f"A stand-in: a quarter of the width, 5,000 of the 45,000 training images; epochs, batches and learning rates as they were. {made(c)}",
            told(c),
            f'The {renamed} runs that the report calls "sigmoide" are relu runs, as they were in its code: {len(theirs)} lines of its '
            f"table are {len(c.study.runs)} different runs, and what it says of sigmoid is said of relu.",
            table(by_factor),
            m.figure(
                "vgg6_report_parallel",
                settings.parallel_coordinates(c),
                "Parallel coordinates of the report's runs: several choices change from one to the next",
            ),
            m.figure(
                "vgg6_report_steps",
                curves.accuracy_against_step(c, "activation"),
                "Validation accuracy against optimizer steps",
            ),
        ],
        [
            Claim(
                "its 35 runs compare activations, optimizers, learning rates, batch sizes and epochs",
                "a ranking of 35 single runs",
                f"{len(confounded)} of {len(pairs)} pairs of levels are confounded; one seed",
                "no winner may be named",
            ),
            Claim(
                'sigmoid keeps up with relu (seven "sigmoide" runs)',
                "7 curves",
                "they are relu runs",
                "says nothing of sigmoid",
            ),
        ],
    )


def activations(m: Material) -> Section:
    """Which activation, with which optimizer? A stand-in"""
    c = m.comparison("vgg6_activations_standin")
    shown = varying(tables.settings(c), drop=["time (s)"])
    return Section(
        ["vgg6_activations_standin"],
        [
            "The study in full is `python train.py --multirun experiment=vgg6_activations hydra/launcher=parallel`; this is what a CPU can make of it: a "
            f"quarter of the width, 5,000 of the 45,000 training images, 5 of 30 epochs. {made(c)}",
            told(c),
            m.figure(
                "vgg6_activations",
                settings.two_factors(c, "activation", "optim"),
                "Best validation accuracy by activation and optimizer",
            ),
            table(shown, "All settings"),
        ],
    )


def initial_weights(m: Material) -> Section:
    """Initial weights against the plateau"""
    c = m.comparison("vgg6_init")
    rows = []
    for init in ("torch", "auto"):
        names = c.study.runs.index[runs_with(c, model__init=init) & (c.study.runs["status"] == record.COMPLETED)]
        by_epoch = curve(c, "val/acc", names).mean(axis=1)
        rows.append(
            {
                "initial weights": init,
                **{f"epoch {epoch}": percent(v) for epoch, v in by_epoch.items()},
                "best": spread(values_of(c, "best_val_acc", model__init=init), percent),
            }
        )
    return Section(
        ["vgg6_init"],
        [
            f"gelu, SGD with momentum at 0.01, as in the report's best run; a quarter of the width, all images. Mean validation accuracy. {made(c)}",
            told(c),
            m.figure(
                "vgg6_init",
                curves.overlaid(c, "model.init", "val/acc"),
                "Validation accuracy by epoch from torch's and from suitable initial weights",
            ),
            table(rows),
        ],
    )


def winner(m: Material) -> Section:
    """The report's best run, made again at full width"""
    c = m.comparison("vgg6_winner", partly=True)
    name = c.study.runs.index[0]
    run = c.study.runs.loc[name]
    ours = curve(c, "val/acc", pd.Index([name]))
    epochs = int(ours.index.max())
    rows = [
        {
            "": what,
            "the report, 30 epochs": f"{reports.VGG6[key]:.3f}",
            f"ours, {count(epochs, 'epoch')}": f"{run[key]:.3f}",
        }
        for key, what in {
            "best_val_acc": "best validation accuracy",
            "final_train_acc": "last training accuracy",
            "final_train_loss": "last training loss",
            "final_val_acc": "last validation accuracy",
            "final_val_loss": "last validation loss",
        }.items()
    ]
    test = run.get("test_acc")
    tested = (
        "" if test is None or pd.isna(test) else f"Test accuracy of the epoch with the best validation: {test:.3f}."
    )
    figure = charts.among_ours(
        ours,
        None,
        "validation accuracy",
        "VGG6 on CIFAR-10, gelu, SGD with momentum 0.01, batch 128",
        line=reports.VGG6["best_val_acc"],
    )
    return Section(
        ["vgg6_winner"],
        [
            f"One seed. {made(c)}",
            table(rows),
            m.figure("vgg6_winner", figure, "Validation accuracy by epoch, and the report's best as a line"),
            f"The report's validation images were augmented by accident, ours are not. {tested}",
        ],
        [
            Claim(
                "gelu with SGD at 0.01 reaches 0.861 in 30 epochs",
                f"{reports.VGG6['best_val_acc']:.3f}",
                f"{run['best_val_acc']:.3f} in {count(epochs, 'epoch')}, one seed",
                "one run beside one run: nothing is shown but that it can be had",
            )
        ],
    )
