"""Jobs that are derived from another one are those that Hydra composes, and that are checked in full."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from hydra import initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from paribus.config.check import read_choices
from paribus.config.compose import Composer, complete_choices
from paribus.errors import UserError
from paribus.run.spec import Job
from paribus.sweep.expand import expand_sweep
from paribus.sweep.jobs import JobComposer, LateComposition

OWN = {
    # an experiment sets what is the default of Adam, and a seed of its own
    "experiment/rate": "# @package _global_\nmodel: {hidden: [4]}\noptim: {lr: 0.01}\ntrainer: {max_epochs: 3}\n",
    # interpolations of every kind
    "experiment/odd": "# @package _global_\nloss: {_target_: torch.nn.HuberLoss, delta: '${optim.lr}'}\n"
    "data: {train_subset: '${oc.select:model.hidden.0,8}'}\ndefault_epochs: '${seed}'\n",
    "experiment/text": "# @package _global_\nmetric: 'val/loss${seed}:lower'\n",
    "optim/sgd_twice": "defaults: [sgd, _self_]\nlr: 0.5\n",
}


@pytest.fixture
def loader(tmp_path: Path) -> Iterator[ConfigLoader]:
    for name, text in OWN.items():
        (tmp_path / "conf" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "conf" / f"{name}.yaml").write_text(text)
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        yield GlobalHydra.instance().config_loader()


def to_plain(config: Any) -> Any:
    OmegaConf.set_readonly(config, False)
    return OmegaConf.to_container(config, resolve=False)


class HydraComposer(Composer):
    """A composer that has Hydra compose every combination of options."""

    def _compose_options(self, overrides: tuple[str, ...]) -> DictConfig:
        return self._load(overrides)


@pytest.mark.slow
@pytest.mark.cases(14)
@pytest.mark.parametrize(("arguments", "derived"), [
    ("optim=sgd,adam activation=relu,tanh seed=1,2", 8),
    ("optim.lr=0.01,0.5 scheduler=onecycle trainer.max_epochs=2,3", 4),
    ("optim.betas=[0.5,0.6],[0.9,0.99] seeds.order=1 data.seed=3", 2),
    ("default_lr.adam=0.1,0.2 optim.eps=1e-3 study=5 pause=1", 2),
    ("model.width=3,4 model.depth=2", 2),
    ("experiment=rate optim=adam,sgd seed=1,2", 4),
    ("experiment=odd optim.lr=0.1,0.2", 2),
    ("experiment=odd model.hidden=[5],[6]", 0),
    ("experiment=odd seed=1,2", 2),
    ("experiment=text seed=1,2", 0),
    ("optim=sgd_twice,sgd optim.lr=0.1", 2),
    ("callbacks=none +callbacks.stop._target_=lightning.Callback,lightning.pytorch.callbacks.Timer", 0),
    ("seed=1,2 optim={lr:0.3}", 0),
    ("hydra.sweep.subdir=x seed=1", 0),
])  # fmt: skip
def test_what_is_derived_is_what_is_composed_and_checked(
    loader: ConfigLoader, tmp_path: Path, arguments: str, derived: int
) -> None:
    """All but the experiment `text`, in which a seed is part of a text, and other keys than those that are there."""
    typed = ["model=regression", *(text for text in arguments.split() if not text.startswith("hydra."))]
    flags = [f"hydra.searchpath=[file://{tmp_path / 'conf'}]"]
    flags += [text for text in arguments.split() if text.startswith("hydra.")]
    study = make_study(loader, tmp_path, *flags, *(text for text in typed if text.startswith("study=")))
    jobs, oracle = JobComposer(Composer(loader, "train", flags), study), HydraComposer(loader, "train", flags)
    sweep = expand_sweep(typed, loader, study, None, None)
    found = [jobs.compose_job(number, overrides) for number, overrides in enumerate(sweep)]
    assert sum(isinstance(job.composition, LateComposition) for job in found) == derived
    for job, overrides in list(zip(found, sweep, strict=True))[-3:]:
        config = loader.load_configuration("train", [*flags, *overrides], RunMode.RUN)
        complete_choices(config.hydra)
        with open_dict(config):
            config.study = str(study.study)
        choices = read_choices(config, config.hydra.runtime.choices, oracle)
        assert job.choices is not None
        assert (job.choices.options, job.choices.given) == (choices.options, choices.given)
        assert repr(job.choices.config) == repr(choices.config), "types and order too"
        check_composition(job, config)


def make_study(loader: ConfigLoader, directory: Path, *overrides: str) -> DictConfig:
    study = loader.load_configuration("train", list(overrides), RunMode.MULTIRUN)
    with open_dict(study):
        study.hydra.sweep.dir = str(directory / "s")
    return study


def check_composition(job: Job, expected: DictConfig) -> None:
    """Compare what a job is executed with to what Hydra has composed, aside from what a study names itself."""
    made, theirs = to_plain(job.compose().composed), to_plain(expected)
    ours, hydra = to_plain(job.compose().hydra), theirs.pop("hydra")
    assert repr(made) == repr(theirs)
    assert ours["runtime"].pop("output_dir") == str(job.directory)
    for node in (ours, hydra):
        node["runtime"].pop("output_dir", None)
        for key in ("num", "id", "override_dirname"):
            node["job"].pop(key, None)
    assert ours == hydra


@pytest.mark.parametrize("wrong", ["seed=1,x", "optim.lr=0.1,-1", "trainer.max_epochs=2,null", "optim.betas=[0,0],[2]"])
def test_a_mistake_in_a_later_run_is_found(loader: ConfigLoader, tmp_path: Path, wrong: str) -> None:
    study = make_study(loader, tmp_path, "study=s")
    jobs = JobComposer(Composer(loader, "train"), study)
    first, second = expand_sweep(["model=regression", wrong], loader, study, None, None)
    jobs.compose_job(0, first)
    with pytest.raises(UserError, match=wrong.partition("=")[0].replace(".", r"\.")):
        jobs.compose_job(1, second)


def test_a_planned_job_is_asked_for_a_stop_without_a_composition(
    loader: ConfigLoader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = JobComposer(Composer(loader, "train"), make_study(loader, tmp_path, "study=s"))
    _, job = (jobs.compose_job(seed, ["model=regression", f"seed={seed}"]) for seed in (1, 2))
    monkeypatch.setattr(jobs, "make", lambda *_: pytest.fail("composed again"))
    assert job.in_study and job.find_study_stop() is None
    with pytest.raises(AssertionError, match="composed first"):
        _ = job.composed
