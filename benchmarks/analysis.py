"""Time the analysis of a study: of a thousand runs of 30 epochs and 3 layers, and of a dozen."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from sweeps import ROOT, planned, sweep

from paribus import record

THOUSAND = ["activation=relu,tanh,sigmoid,gelu,elu", "optim=sgd,adam", "seed=range(10)",
            "optim.lr=0.0001,0.0003,0.001,0.003,0.01,0.03,0.1,0.3,1,3"]  # fmt: skip
DOZEN = ["activation=relu,tanh", "optim=sgd,adam", "seed=1,2,3"]


def told(where: Path, sweep_of: list[str]) -> dict[str, float]:
    """Seconds until the page and tables are written, and until the figures are; megabytes of the page.

    Records are copies of one real run but for configuration and losses.
    """
    sweep(where, "study=one", "model=regression", "trainer.max_epochs=30")
    (made,) = record.find_runs([where / "outputs" / "one"])
    summary, metrics = record.read_summary(made), pd.read_csv(made / record.METRICS)
    arguments = ["study=s", "model=regression", "trainer.max_epochs=30", *sweep_of]
    random = np.random.default_rng(0)
    for run in planned(where, arguments):
        job, directory = run.job, run.job.directory
        assert job.choices is not None
        directory.mkdir(parents=True)
        for name in (record.LAYERS, record.FOLDS, record.WEIGHTS, record.PREDICTIONS):
            shutil.copy(made / name, directory)
        scaled = metrics.copy()
        losses = scaled.columns.str.contains("/")
        scaled.loc[:, losses] *= random.uniform(0.8, 1.2)
        scaled.to_csv(directory / record.METRICS, index=False)
        best = {"best_val_loss": float(scaled["val/loss"].min())}
        whole = {
            **summary,
            "choices": job.choices.options,
            "set": job.choices.given,
            "config": job.config,
            "seed": job.config["seed"],
            "identity": record.identify(job.config),
            "statistics": {**summary["statistics"], **best},
        }
        record.write_json(directory / record.SUMMARY, whole)
    target = where / "outputs" / "s"
    start = time.perf_counter()
    command = [sys.executable, "-u", "-m", "multirun_analysis", str(target)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    seconds = {}
    for line in process.stdout:
        for name, begins in (("tables", "Page:"), ("figures", "Also:")):
            if line.startswith(begins):
                seconds[name] = time.perf_counter() - start
    assert process.wait() == 0
    return {**seconds, "megabytes": (target / "analysis" / "report.html").stat().st_size / 1e6}
