"""Report how a run ended."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from paribus import record
from paribus.diagnosis import OPTIONAL, diagnose_directory, recorded_findings
from paribus.diagnosis.finding import NAMES, describe_findings

log = logging.getLogger(__name__)


def add_diagnosis(summary: dict[str, Any], directory: Path) -> None:
    """Diagnose a run whose record is written but for its summary, and add to the summary what was found.

    `diagnosis` lists the findings, `undiagnosed` those that could not be looked for, since their quantities are absent.
    """
    found = diagnose_directory(directory, summary)
    summary["diagnosis"] = [finding.as_object() for finding in found.findings]
    summary["undiagnosed"] = list(found.unseen)


def report_end(summary: Mapping[str, Any], directory: Path) -> None:
    """Log how the run ended and where its record is."""
    statistics = summary["statistics"]
    if summary["status"] == record.DIVERGED:
        at = summary["diverged"]
        quantity, when = {
            "train/loss": ("the training loss was", "in"),
            "gradient": ("a gradient was", "in"),
            "val/loss": ("the validation loss was", "after"),
            "weights": ("the weights were", "after"),
        }[at["what"]]
        culprit = ""
        if "layer" in at and at["tensor"] == "activation":
            culprit = f"; the first non-finite activation is that of {at['layer']}"
        elif "layer" in at:
            culprit = f"; all activations were finite, but not the gradient of {at['layer']}"
        log.warning(
            "Diverged: %s no longer finite %s epoch %d, step %d%s.", quantity, when, at["epoch"], at["step"], culprit
        )
    if summary.get("stopped"):
        planned = summary["config"]["trainer"]["max_epochs"]
        log.info("Stopped after %d of %d epochs by %s.", summary["stopped"]["epoch"], planned, summary["stopped"]["by"])
    if statistics.get("best_metric") is not None:
        log.info("Best %s, epoch %d.", format_best(dict(summary)), statistics["best_epoch"])
    elif statistics.get("best_val_acc") is not None:
        log.info(
            "Best validation accuracy %.2f %%, epoch %d.", 100 * statistics["best_val_acc"], statistics["best_epoch"]
        )
    elif statistics.get("best_val_loss") is not None:
        baseline = statistics.get("baseline_val_loss")
        mean = "" if baseline is None else f" (predicting the training mean: {baseline:.4g})"
        log.info("Best validation loss %.4g, epoch %d%s.", statistics["best_val_loss"], statistics["best_epoch"], mean)
    if "diagnosis" in summary:  # a paused run is diagnosed at its end
        report_diagnosis(summary)
    shown = directory.relative_to(Path.cwd()) if directory.is_relative_to(Path.cwd()) else directory
    took = f"Took {statistics['train_seconds']:.1f} s."
    # on the terminal, a study says once where its runs are
    log.info("%s The record is in %s", took, shown, extra={"shorter": [took] if summary["study"] else []})


def report_diagnosis(summary: Mapping[str, Any]) -> None:
    """Log what was found in one line, and once what could not be looked for; nothing of a healthy run."""
    findings = recorded_findings(summary) or ()
    if findings:
        names = [f"Diagnosis: {'; '.join(NAMES[found.finding] for found in findings)}"] if summary["study"] else []
        log.info("Diagnosis: %s", describe_findings(findings), extra={"shorter": names})
    unseen = [NAMES[name] for name in summary["undiagnosed"] if name not in OPTIONAL]
    if unseen:
        text = f"Not diagnosed, since the record lacks the quantities: {', '.join(unseen)}."
        shorter = [f"Not diagnosed, since the record lacks the quantities: {len(unseen)} findings."]
        log.info("%s", text, extra={"once": text, "shorter": shorter if summary["study"] else []})


def format_best(summary: dict[str, Any] | None) -> str:
    """Format the best validation metric of a run; return an empty text where it has none."""
    statistics = (summary or {}).get("statistics", {})
    if statistics.get("best_metric") is not None:
        name = (summary or {}).get("metric", {}).get("name", "metric")
        return f"{name} {statistics['best_metric']:.4g}"
    if statistics.get("best_val_acc") is not None:
        return f"val acc {statistics['best_val_acc']:.2%}"
    return f"val loss {statistics['best_val_loss']:.4g}" if statistics.get("best_val_loss") is not None else ""
