"""Commands, studies, stacks and the analysis."""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import analysis
import stacks
import sweeps
from loops import concrete, fit_concrete_least, plain_concrete
from timing import ROOT, SCRATCH, seconds, show


def bench_config(rounds: int) -> None:
    command = [sys.executable, str(ROOT / "train.py"), "--cfg", "job"]
    times = [seconds(lambda: subprocess.run(command, check=True, capture_output=True)) for _ in range(rounds)]
    show("python train.py --cfg job, in seconds", times, [1.0] * rounds, 1.0)
    alone = [sys.executable, "-c", "import hydra.main"]
    least = statistics.median(seconds(lambda: subprocess.run(alone, check=True)) for _ in range(rounds))
    print(f"  floor {least:.2f} s: import hydra.main", flush=True)


def _read_all(files: Sequence[Path]) -> None:
    for path in files:
        path.read_bytes()


def time_process(*command: str) -> tuple[float, float]:
    """Return the CPU time of a process and of those that it starts, in seconds, and the time until it ends."""
    before = os.times()
    subprocess.run([sys.executable, *command], check=True, capture_output=True)
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return cpu, after.elapsed - before.elapsed


def bench_start(rounds: int) -> None:
    """Time the shortest runs, and a study that is finished, each in turn with the import of torch."""
    train, where = str(ROOT / "train.py"), Path(SCRATCH.name) / "start"
    run = (train, "model=regression", "trainer.max_epochs=1", "trainer=cpu", "callbacks=none")
    study = (*run, "--multirun", f"hydra.sweep.dir={where / 'study'}", "study=study", "seed=1,2")
    time_process(*study)
    commands = {
        "concrete run of one epoch": (*run, f"hydra.run.dir={where}/run{{}}"),
        "concrete run of one epoch, logger=none": (*run, "logger=none", f"hydra.run.dir={where}/bare{{}}"),
        "study of 2 finished runs, started again": study,
    }
    for what, command in commands.items():
        pairs = []
        for i in range(rounds):
            alone = time_process("-c", "import torch")
            pairs.append((time_process(*(text.format(i) for text in command)), alone))
        for name, kind in enumerate(("CPU time", "time")):
            ours, theirs = ([pair[side][name] for pair in pairs] for side in (0, 1))
            show(f"{what} / import torch, {kind}", ours, theirs, 2.0)


def bench_studies(rounds: int) -> None:
    where = Path(SCRATCH.name)
    pairs = [sweeps.side_by_side(where / str(i), epochs=5) for i in range(max(1, rounds // 5))]
    together, alone, one_core = zip(*pairs, strict=True)
    show("12 MLP runs of 5 epochs, one after the other with all cores / in parallel", alone, together, 1.7, least=True)
    print(f"  floor: {os.cpu_count()}, the number of cores, is the most", flush=True)
    show("the same, one after the other with one core each / in parallel", one_core, together)
    show("the same, one after the other with one core each / with all cores", one_core, alone)
    many, one = sweeps.started_again(where / "again")
    show("500 finished runs started again, in seconds of CPU", [many], [1.0], 6)
    summaries = list((where / "again" / "outputs" / "s").rglob("summary.json"))
    least = seconds(lambda: [json.loads(path.read_bytes()) for path in summaries])
    print(f"  floor {least:.2f} s: {len(summaries)} summary.json are read", flush=True)
    show("of it for each run, in milliseconds", [1000 * (many - one) / 499], [1.0], 4)
    (where / "leader").mkdir()
    tenth, whole = sweeps.leader_memory(where / "leader", 1000)
    show("memory of a study's leader after 1,000 runs / after 100", [whole], [tenth], 1.1)


def bench_stacks(rounds: int) -> None:
    where = Path(SCRATCH.name) / "stacks"
    parts, n = concrete(), 40
    loop = statistics.median(seconds(lambda: plain_concrete(parts)) for _ in range(rounds))
    # what starting takes is in a study once
    one, ten = (stacks.study(where / f"serial{k}", k, "serial", *stacks.CONCRETE)[0] for k in (1, 10))
    basic = one + (n - 1) * (ten - one) / 9
    took = {k: stacks.study(where / str(k), k, "stacked", *stacks.CONCRETE) for k in (1, 10, 40, 100, 400)}
    show(f"Plain loop with DataLoader, {n} times over (of {rounds}) / {n} concrete runs of 300 epochs stacked",
         [n * loop], [took[n][0]], 12, least=True)  # fmt: skip
    show(f"{n} concrete runs with the basic launcher (of 10) / stacked", [basic], [took[n][0]], 20, least=True)
    for k, (whole, peak) in took.items():
        print(f"  {k} concrete runs stacked: {whole / k:.2f} s a run, {whole:.1f} s in all; {peak:.0f} MB; floor "
              f"{fit_concrete_least(parts, k) / k:.2g} s a run: products and traffic alone", flush=True)  # fmt: skip
    found = {kind: stacks.study(where / kind, 8, kind, *stacks.MLP) for kind in ("parallel", "stacked")}
    show("8 MLP runs of 2 epochs in parallel / stacked", [found["parallel"][0]], [found["stacked"][0]])
    print(f"  memory: {found['parallel'][1]:.0f} MB / {found['stacked'][1]:.0f} MB", flush=True)


def bench_analysis(rounds: int) -> None:
    where = Path(SCRATCH.name)
    for name, runs, limit in (("1,000 runs", analysis.THOUSAND, 12), ("12 runs", analysis.DOZEN, 4)):
        found = analysis.told(where / name, runs)
        show(f"{name} told on a page and in tables, in seconds", [found["tables"]], [1.0], limit)
        show(f"{name}: figures drawn too, in seconds", [found["figures"]], [1.0])
        show(f"{name}: the page, in megabytes", [found["megabytes"]], [1.0], 15)
        files = [path for path in (where / name / "outputs" / "s").rglob("*") if path.is_file()]
        least = seconds(partial(_read_all, files))
        print(f"  floor {least:.2f} s: the {len(files):,} files of the study are read", flush=True)
