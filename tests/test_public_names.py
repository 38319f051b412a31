"""The public names of `import paribus`."""

import subprocess
import sys
from importlib.metadata import version

import pytest

import paribus

PUBLIC = ("Histogram", "Images", "InMemory", "Instrument", "Measured", "Run", "RunFailed", "UserError", "load_run")


def test_each_public_name_is_there_and_listed() -> None:
    for name in PUBLIC:
        assert getattr(paribus, name).__name__ == name
    assert {*PUBLIC, "__version__"} <= set(dir(paribus))
    assert paribus.__version__ == version("paribus")


def test_another_name_is_refused_as_by_any_module() -> None:
    with pytest.raises(AttributeError, match="module 'paribus' has no attribute 'load_runs'"):
        _ = paribus.load_runs


@pytest.mark.slow
def test_torch_is_imported_when_a_name_needs_it() -> None:
    code = """
import sys, paribus
paribus.__version__, paribus.UserError, paribus.RunFailed
assert not {"torch", "lightning", "pandas", "hydra"} & set(sys.modules)
from paribus import load_run
assert "torch" in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
