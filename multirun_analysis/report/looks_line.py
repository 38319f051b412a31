"""Say at which look a study was judged whose seeds were added until it was decided."""

from typing import Any

from multirun_analysis.compare.comparison import Comparison


def describe_looks(comparison: Comparison) -> str | None:
    """Say at which look the study was judged, and whether it goes on; None where the number of seeds was fixed."""
    plan, looks = comparison.study.plan, comparison.looks
    if plan is None or looks is None:
        return None
    if not looks.taken:
        return f"none taken: nothing is concluded before the first one, with {plan.looks[0]} seeds"
    at = f"look {looks.taken} of {len(plan.looks)}, {plan.looks[looks.taken - 1]} seeds"
    if not plan.ended:
        return f"{at}: not decided yet"
    return f"{at}: all seeds are there, the rest stays undecided" if plan.taken[-1].undecided else f"decided at {at}"


def looks_as_object(comparison: Comparison) -> dict[str, Any] | None:
    """Compose what verdict.json says of the looks; None where the number of seeds was fixed."""
    plan, looks = comparison.study.plan, comparison.looks
    if plan is None or looks is None:
        return None
    return {
        "seeds": list(plan.looks),
        "taken": looks.taken,
        "ended": plan.ended,
        "undecided": list(plan.taken[-1].undecided) if plan.taken else None,
    }
