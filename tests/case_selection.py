"""Which cases of slow tests are run, and in which order: pytest's hook, which conftest.py imports."""

import os
from importlib.metadata import version
from pathlib import Path

import pytest

TORCH = tuple(map(int, version("torch").split(".")[:2]))
SOAK = bool(os.environ.get("PARIBUS_SOAK"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out cases of slow tests, but in make soak; order the longest files first, so that two processes end together."""
    cases: dict[tuple[Path, str], list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("slow"):
            cases.setdefault((item.path, item.nodeid.partition("[")[0]), []).append(item)
    left = set() if SOAK else {item for found in cases.values() for item in leave_out(found)}
    config.hook.pytest_deselected(items=[item for item in items if item in left])
    items[:] = [item for item in items if item not in left]
    if TORCH < (2, 9):
        for item in items:
            if "muon" in item.nodeid.lower() or item.get_closest_marker("muon"):
                item.add_marker(pytest.mark.skip(reason="torch has Muon from 2.9 on"))
    longest = ["test_docs", "test_ddp", "test_sweeps", "test_launchers", "test_stack", "test_search", "test_study_again",
               "test_page_screens", "test_workers", "test_wheel", "test_search_kills", "test_first_screens",
               "test_stop_requests", "test_callbacks", "test_resume", "test_refusals", "test_option_lists", "test_until",
               "test_modules", "test_watch_page", "test_command", "test_loss_runs", "test_run"]  # fmt: skip
    order = {name: place for place, name in enumerate(longest)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))


def leave_out(cases: list[pytest.Item]) -> list[pytest.Item]:
    """Choose the cases of a slow test that make test does without: all but so many as its marker says, spread evenly."""
    marker = cases[0].get_closest_marker("cases")
    most = marker.args[0] if marker else 2
    kept = {len(cases) * i // most for i in range(most)} if len(cases) > most else set(range(len(cases)))
    return [case for i, case in enumerate(cases) if i not in kept]
