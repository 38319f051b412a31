"""The README and the pages in docs/: their links, commands, configuration files and scripts; and the site made of them."""

import contextlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pandas
import pytest
from analysis_command import analyse
from conftest import ROOT, main

from multirun_analysis.figures import gallery

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINKED = [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "STUDIES.md", ROOT / "CHANGELOG.md"]
OWN = """
import torch
from torch import nn

class Square(nn.Module):
    def forward(self, x):
        return x * x

class Bilinear(nn.Module):
    def __init__(self, in_shape, out_features, activation, rank):
        super().__init__()
        self.first, self.activation, self.last = nn.Linear(in_shape[0], rank), activation(), nn.Linear(rank, out_features)
    def forward(self, x):
        return self.last(self.activation(self.first(x))).squeeze(1)
"""


def find_blocks(page: Path) -> list[str]:
    """Find the indented blocks of a page."""
    text = page.read_text(encoding="utf-8")
    return [
        textwrap.dedent(block).strip("\n")
        for block in re.findall(r"(?:^    .*\n(?:\s*\n(?=    ))*)+", text, re.MULTILINE)
    ]


def find_commands(program: str) -> list[str]:
    """Find the commands of all pages that begin with `program`, without their comments."""
    found = []
    for block in (block for page in PAGES for block in find_blocks(page)):
        for line in block.replace("\\\n", " ").splitlines():
            command = re.sub(r"\s+#.*", "", line.removeprefix("$ ")).strip()
            if command.startswith(program):
                found.append(command.removeprefix(program).strip())
    return sorted(set(found))


def to_anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", LINKED, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith(("http:", "https:")):
            continue
        path, _, anchor = target.partition("#")
        there = page if not path else (page.parent / path).resolve()
        assert there.exists(), f"{page.name}: {target}"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", there.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {to_anchor(heading) for heading in headings}, f"{page.name}: {target}"


def test_the_readme_can_be_read_in_minutes() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 1800


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with what the pages name: their configuration files, parts, a table, a run and a study."""
    where = tmp_path_factory.mktemp("docs")
    for block in (block for page in PAGES for block in find_blocks(page)):
        for part in re.split(r"^(?=# @package|# conf/)", block, flags=re.MULTILINE):
            named = re.match(r"(?:# @package _global_\n)?# (conf/\S+?\.yaml)", part)
            if named:
                path = where / named[1]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(part, encoding="utf-8")
    (where / "my_parts.py").write_text(
        OWN + "\n".join(b for b in find_blocks(ROOT / "docs" / "own_parts.md") if "my_parts.py" in b) + "\n"
    )
    for text in (page.read_text(encoding="utf-8") for page in PAGES):
        for name, content in re.findall(
            r"^```(?:yaml|python)\n# (\S+\.\w+)\n(.+?)^```", text, re.MULTILINE | re.DOTALL
        ):
            path = where / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a", encoding="utf-8") as file:  # a module may be made of the parts of several pages
                file.write(content)
    shutil.copytree(ROOT / "examples", where / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    table = pandas.DataFrame({"rooms": range(60), "area": [30.0 + i % 7 for i in range(60)]})
    table.assign(price=table.rooms * 3 + table.area).to_csv(where / "my.csv", index=False)
    patch = pytest.MonkeyPatch()
    patch.chdir(where)
    patch.syspath_prepend(where)
    short = ("model=regression", "trainer=cpu", "threads=1", "trainer.max_epochs=2", "figures=false")
    assert main("train.py", *short, "hydra.run.dir=outputs/2026-01-01/12-00-00.000000") == 0
    study = ("optim=sgd,adam", "activation=relu,tanh", "seed=1,2")
    assert main("train.py", "--multirun", "study=STUDY", *short, *study) == 0
    for name in ("OLD", "NEW"):  # before and after a change of the code
        shutil.copytree(where / "outputs" / "STUDY", where / "outputs" / name)
    patch.undo()
    return where


def run_python(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join([str(ROOT), str(ROOT / "src"), str(place)])
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=place,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", [c for c in find_commands("python train.py") if not re.search(r"resume=|rerun=", c)]
)
@pytest.mark.cases(999)
def test_each_command_that_trains_is_one_that_can(place: Path, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    monkeypatch.syspath_prepend(place)
    arguments = shlex.split(command)
    checked = [] if {"--help", "--cfg"} & set(arguments) or "dry_run=true" in arguments else ["dry_run=true"]
    if "vgg6" in command:
        checked.append("model.width_multiplier=0.05")  # its step is timed
    if "experiment=" in command and "seed=" not in command:
        checked.append("seed=1")  # its other seeds are planned alike
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = main("train.py", *arguments, *checked)
    meant = 1 if "sigmoide" in command else 0
    assert code == meant, said.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", [*find_commands("python -m multirun_analysis"), *find_commands("python evaluate.py")]
)
@pytest.mark.cases(999)
def test_each_command_that_reads_runs_does(
    place: Path, command: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """In this process, and without figures, which tests/analysis draws."""
    monkeypatch.chdir(place)
    monkeypatch.setattr(gallery, "drawing", lambda *given: contextlib.nullcontext([]))
    arguments = shlex.split(
        command.replace("outputs/DATE/TIME", "outputs/2026-01-01/12-00-00.000000").replace(" ...", "")
    )
    if "--metric" in arguments:
        arguments[arguments.index("--metric") + 1] = "best_val_loss"
    if "--margin" in arguments:
        arguments[arguments.index("--margin") + 1] = "0.2"
    if "--claim" in arguments:
        arguments[arguments.index("--claim") + 1] = "optim: adam <= sgd + 0.3"
    prefix, _, path = arguments[0].rpartition("outputs/")
    if not (place / "outputs" / path).exists():  # one of the studies that the pages have trained by then
        arguments[0] = f"{prefix}outputs/STUDY"
    code = main("evaluate.py", *arguments) if arguments[0].startswith("run=") else analyse(*arguments)
    assert code in ((0, 1, 2) if "--claim" in arguments else (0,)), capfd.readouterr()
    assert "Traceback" not in capfd.readouterr().err


SCRIPTS = [b for page in PAGES for b in find_blocks(page) if re.match(r"(from|import) ", b)]


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=range(len(SCRIPTS)))
@pytest.mark.cases(999)
def test_each_script_runs(place: Path, script: str) -> None:
    script = script.replace("outputs/DATE/TIME", "outputs/2026-01-01/12-00-00.000000").replace(
        "selected_val_acc", "selected_val_loss"
    )
    before = (
        "import matplotlib; matplotlib.use('Agg')\nimport numpy\nrows = inputs = numpy.ones((3, 8), dtype='float32')\n"
    )
    done = run_python(place, "-c", before + script)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_the_site_is_built_without_a_dead_link(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "load_run" in (tmp_path / "site" / "api.html").read_text(encoding="utf-8")
    assert "ceteris paribus" in (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
