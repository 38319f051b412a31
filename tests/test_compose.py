"""What is composed in pieces is what Hydra composes in one."""

from collections.abc import Iterator

import pytest
from conftest import ROOT
from hydra import initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import OmegaConf

from paribus.config.compose import Composer


@pytest.fixture
def loader() -> Iterator[ConfigLoader]:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        yield GlobalHydra.instance().config_loader()


@pytest.mark.parametrize("overrides", [
    [],
    ["model=vgg6", "optim=nadam", "optim.lr=0.002"],
    ["optim.lr=0.002", "model=vgg6", "data=fashion_mnist", "optim=nadam"],
    ["~callbacks.updates", "+callbacks.stop._target_=a.B", "+trainer.log_every_n_steps=3"],
    ["++optim.lr=1", "model.hidden=[64,32]", "model.width=null", "data.root='a b,c=d'"],
    ["callbacks=full", "callbacks.gradients={every_n_steps: 7}", "seed=3", "seed=4"],
    ["model=regression", "scheduler=onecycle", "trainer.max_epochs=7", "logger=none"],
    ["default_lr.adam=5", "optim.betas=[0.5,0.6]", "study=null", "trainer=cpu"],
])  # fmt: skip
def test_it_is_what_hydra_composes(loader: ConfigLoader, overrides: list[str]) -> None:
    composer = Composer(loader, "train", ["hydra.sweep.dir=x"])
    composer.compose(["model=vgg6"])  # what was composed before does not matter
    expected = loader.load_configuration("train", ["hydra.sweep.dir=x", *overrides], RunMode.RUN)
    for _ in range(2):
        composed = composer.compose(overrides)
        plain, plain_expected = (OmegaConf.to_container(config) for config in (composed, expected))
        for each in (plain, plain_expected):
            del each["hydra"]["job"]["override_dirname"]  # type: ignore[index]  # a study names its directories itself
        assert plain == plain_expected
        composed.optim.lr = "changed"  # nor what becomes of one


@pytest.mark.parametrize(
    "overrides", [["optm=sgd"], ["optim=sgdd"], ["optim.lrr=1"], ["seed=1,2"], ["~nothing"], ["a=["]]
)
def test_what_hydra_refuses_is_refused(loader: ConfigLoader, overrides: list[str]) -> None:
    with pytest.raises(HydraException):
        loader.load_configuration("train", overrides, RunMode.RUN)
    with pytest.raises(HydraException):
        Composer(loader, "train").compose(overrides)
