"""Find runs that are there twice."""

from collections.abc import Hashable

from multirun_analysis.records.described import CONTENT
from multirun_analysis.records.load import Study
from paribus import record


def find_duplicates(study: Study) -> dict[str, str]:
    """Find runs that are there under another name as well, made on the same data; the first that is finished counts.

    An attempt that has not ended is nothing beside one that has, nor a damaged record beside one that says what was
    tried.
    """
    finished = dict(zip(study.described, study.runs["status"].isin(record.FINISHED), strict=True))
    first: dict[Hashable, dict[Hashable, str]] = {}  # by identity and data; an attempt may not have come to its data
    result = {}
    for name in sorted(study.described, key=lambda name: (not finished[name], not study.described[name].choices)):
        run = study.described[name]
        if run.identity is not None:
            known = first.setdefault(run.identity, {})
            data = run.flat.get(CONTENT)
            if data is None and known:
                result[name] = next(iter(known.values()))
            elif known.setdefault(data, name) != name:
                result[name] = known[data]
    return result
