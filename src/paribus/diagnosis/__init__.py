"""Diagnose a run from its record: what went wrong inside, since when, in which layers, and what may help. No torch.

A finding is a function of `layers.py`, `curves.py` or `steps.py`. docs/diagnosis.md has the thresholds, their sources,
and how often they are right. Nothing here is imported with `paribus`.
"""

from paribus.diagnosis.curves import relative_gain
from paribus.diagnosis.diagnose import FINDINGS, OPTIONAL, Diagnosis, diagnose, diagnose_directory, recorded_findings
from paribus.diagnosis.finding import Finding, describe_findings
from paribus.diagnosis.trace import LayerTable, Trace, read_trace
