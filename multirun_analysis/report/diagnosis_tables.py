"""Tables of what was found wrong with runs: counted by setting, and run by run."""

from collections import Counter

import pandas as pd

from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.report.verdict import describe
from paribus.diagnosis import OPTIONAL
from paribus.diagnosis.finding import NAMES


def by_setting(comparison: Comparison) -> pd.DataFrame:
    """Count the findings of each setting, in the order of the settings; a healthy one has no row."""
    rows = []
    for setting in comparison.tried:
        mine = [comparison.study.diagnoses[run].findings for run in setting.runs if run in comparison.study.diagnoses]
        for name in NAMES:
            found = [one for findings in mine for one in findings if one.finding == name]
            if found:
                epochs = sorted(one.epoch for one in found if one.epoch is not None)
                rows.append(
                    {
                        "setting": describe(comparison, setting),
                        "finding": NAMES[name],
                        "runs": f"{len(found)} of {len(mine)}",
                        "layers": _commonest([one.where for one in found]),
                        "from epoch": _span(epochs),
                        "for example": str(found[0].evidence["text"]),
                        "remedy": _commonest([one.remedy for one in found]),
                    }
                )
    return pd.DataFrame(rows)


def by_run(comparison: Comparison) -> pd.DataFrame:
    """List the findings run by run; a healthy run has no row. Remedies stand in the table by setting."""
    rows = [
        {
            "run": name,
            "finding": NAMES[found.finding],
            "layers": found.where,
            "from epoch": "" if found.epoch is None else str(found.epoch),
            "step": "" if found.step is None else str(found.step),
            "evidence": str(found.evidence["text"]),
            "threshold": "" if found.threshold is None else f"{found.threshold:.4g}",
        }
        for name, diagnosis in comparison.study.diagnoses.items()
        for found in diagnosis.findings
    ]
    return pd.DataFrame(rows)


def sentences(comparison: Comparison) -> list[str]:
    """Say how many runs are healthy, and once what could not be looked for."""
    diagnoses = comparison.study.diagnoses
    if not diagnoses:
        return []
    healthy = sum(not one.findings for one in diagnoses.values())
    said = [f"{healthy:,} of {len(diagnoses):,} finished runs have no finding."]
    unseen = Counter(name for one in diagnoses.values() for name in one.unseen)
    for name, count in unseen.items():
        why = " (callbacks=curvature records it)" if name in OPTIONAL else ": their records lack its quantities"
        said.append(f"Not looked for in {count:,} runs: {NAMES[name]}{why}.")
    return said


def _commonest(texts: list[str]) -> str:
    return Counter(texts).most_common(1)[0][0]


def _span(epochs: list[int]) -> str:
    if not epochs:
        return ""
    return str(epochs[0]) if epochs[0] == epochs[-1] else f"{epochs[0]} to {epochs[-1]}"
