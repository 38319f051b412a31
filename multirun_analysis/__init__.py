"""Tables, comparisons, figures and a page from the records of runs: what did the change do, and how sure are we?"""

from multirun_analysis.load import Study, load_runs

__all__ = ["Study", "load_runs"]
