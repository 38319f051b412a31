"""The rooms of src/paribus: imports run down the list only, without a circle, through each room's door."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src"
ROOMS = (
    *(
        "hydra_plugins",
        "cli",
        "housekeeping",
        "sweep",
        "stacked",
        "run",
        "training",
        "instruments",
        "loggers",
        "models",
        "data",
    ),
    *("config", "diagnosis", "record"),
)
FILES = {
    ".".join(path.relative_to(SRC).with_suffix("").parts).removesuffix(".__init__"): path for path in SRC.rglob("*.py")
}
ENTRY_POINTS = ("paribus", "paribus.data.__main__", "paribus.__main__")  # they name what lies above them


def room_of(module: str) -> str:
    first, _, rest = module.partition(".")
    name = rest.partition(".")[0] if first == "paribus" else first
    return name if name in ROOMS else "everybody"


def imports_of(module: str) -> set[str]:
    """The modules of this project that a module names in an import, wherever in its code; not for type checking."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(FILES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("paribus"):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if name in FILES else str(node.module) for name in names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("paribus")}
    return found


@pytest.mark.parametrize("module", sorted(set(FILES) - set(ENTRY_POINTS)))
def test_imports_run_down(module: str) -> None:
    rank = {room: place for place, room in enumerate((*ROOMS, "everybody"))}
    upward = [name for name in imports_of(module) if rank[room_of(name)] < rank[room_of(module)]]
    assert not upward


def test_no_circle() -> None:
    TopologicalSorter({module: imports_of(module) - {module} for module in set(FILES) - set(ENTRY_POINTS)}).prepare()


def test_private_modules_stay_in_their_room() -> None:
    entered = [
        f"{module} imports {name}"
        for module in FILES
        for name in imports_of(module)
        if any(part.startswith("_") for part in name.split(".")) and room_of(name) != room_of(module)
    ]
    assert not entered


@pytest.mark.parametrize("folder", ["src", "multirun_analysis", "studies", "benchmarks", "tests"])
def test_no_file_is_long(folder: str) -> None:
    paths = list((ROOT / folder).rglob("*.py"))
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in paths}
    assert lines and not {path: count for path, count in lines.items() if count > 300}


TORCHLESS = ["paribus", "paribus.record", "paribus.diagnosis", "paribus.config.check", "paribus.cli.train",
             "paribus.cli.housekeeping", "multirun_analysis.watch.server"]  # fmt: skip


def test_no_torch_is_imported_before_it_is_needed() -> None:
    code = f"""
import importlib, sys
for name in {TORCHLESS}:
    importlib.import_module(name)
    assert "torch" not in sys.modules, name
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
