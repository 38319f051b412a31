"""Ways to run the commands, and what is spared where many of them run in one process."""

import gc
import logging
import os
import pickle
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from functools import partialmethod
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from hydra._internal.hydra import Hydra
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult, ConfigSource

from paribus.config.compose import Composer
from paribus.training.recorder import Recorder

ROOT = Path(__file__).parents[1]
CONF = ROOT / "conf"
# Two of Hydra's internal classes are patched: a small run in the test process takes 0.33 s of CPU instead of 0.48 s.
Plain = tuple[dict[str, Any], dict[str, Any]]
_compose_options = Composer.compose_options
_loaded: dict[tuple[str, str], bytes] = {}
_composed: dict[tuple[Any, ...], bytes] = {}


def main(script: str, *arguments: str) -> int:
    """Run an entry point in this process, as if it had been typed; its exit code. Importing torch anew is spared.

    A single run draws no figures unless figures= is typed: they take half of its time. Hydra does not compose a
    configuration only to look for hydra.mode, unless that is typed: nothing else sets it.
    """
    argv, sys.argv = sys.argv, [str(ROOT / script), *arguments]
    threads = torch.get_num_threads()
    undrawn = patch.object(Recorder, "_draw_figures", lambda *given: iter(()))
    no_mode = patch.object(Hydra, "get_mode", lambda *given, **named: None)
    try:
        with (
            nullcontext() if any(argument.startswith("figures=") for argument in arguments) else undrawn,
            nullcontext() if any("hydra.mode" in argument for argument in arguments) else no_mode,
        ):
            runpy.run_path(str(ROOT / script), run_name="__main__")
        return 0
    except SystemExit as stop:
        return int(stop.code or 0)
    finally:
        sys.argv = argv
        torch.set_num_threads(threads)
        for handler in list(logging.getLogger().handlers):
            if isinstance(handler, logging.FileHandler):
                handler.close()
                logging.getLogger().removeHandler(handler)


def _load_once(
    source: ConfigSource, load: Callable[[ConfigSource, str], ConfigResult], config_path: str
) -> ConfigResult:
    """Parse a file of conf/ at its first use."""
    if Path(source.path) != CONF:
        return load(source, config_path)
    key = (source.provider, config_path)
    if key not in _loaded:
        _loaded[key] = pickle.dumps(load(source, config_path))
    found: ConfigResult = pickle.loads(_loaded[key])  # a copy, since Hydra removes the defaults list from it
    return found


def _compose_once(composer: Composer, options: Mapping[str, Any]) -> Plain:
    """Compose the configuration with which a single run's values are compared at the first use of its options.

    A test's own directory of YAML files enters by their contents.
    """
    if composer.hydra_overrides:
        return _compose_options(composer, options)
    folders = [Path(source.path) for source in composer._loader.get_sources() if source.scheme() == "file"]
    files = [
        (path.relative_to(folder).as_posix(), path.read_bytes())
        for folder in folders
        if folder != CONF
        for path in sorted(folder.rglob("*.yaml"))
        if path.is_file()
    ]
    key = (composer.config_name, frozenset(options.items()), os.environ.get("PARIBUS_DATA"), tuple(files))
    if key not in _composed:
        _composed[key] = pickle.dumps(_compose_options(composer, options))
    found: Plain = pickle.loads(_composed[key])
    return found


@pytest.fixture(autouse=True, scope="session")
def conf_read_once() -> Iterator[None]:
    """Have all tests in this process share what is read from conf/, which none of them changes: half of a small run."""
    Plugins.instance()  # it executes the modules of the sources anew: what is imported before is not the class in use
    from hydra._internal.core_plugins.file_config_source import FileConfigSource

    read = partialmethod(_load_once, FileConfigSource.load_config)
    with (
        patch.object(FileConfigSource, "load_config", read),
        patch.object(Composer, "compose_options", _compose_once),
    ):
        yield


def typed(script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """An entry point in a process of its own."""
    command = [sys.executable, str(ROOT / script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, check=False)


@pytest.fixture(autouse=True, scope="module")
def keep_what_is_imported() -> None:
    """Spare the garbage collector, which each run calls, what is imported, as commands do.

    With it tests/sweep/test_search.py and tests/stacked/test_stack.py together take 46 s of CPU, without it 75 s.
    """
    gc.collect()
    gc.freeze()
