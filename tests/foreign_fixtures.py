"""One YAML for each of the foreign modules and data sets."""

from collections.abc import Callable
from pathlib import Path

import pytest

HEAD = "# @package _global_\ndefaults: [/data@_global_.data: bars, override /optim: own, _self_]\n"
FILES = {
    "model/autoencoder": HEAD
    + "model: {_target_: foreign_modules.LitAutoEncoder, hidden_dim: 16, learning_rate: 0.01}\n"
    "default_epochs: 3\ndefault_lr: {sgd: 0.1}\n",
    "model/gan": HEAD
    + "model: {_target_: foreign_modules.GAN, latent_dim: 8}\ndefault_epochs: 3\ndefault_metric: g_loss\n"
    "default_lr: {adam: 0.01}\n",
    "model/lit": HEAD + "model: {_target_: foreign_modules.LitClassifier, units: 8}\ndefault_epochs: 3\n"
    "default_lr: {adam: 0.01}\n",
    "model/broken": HEAD + "model: {_target_: foreign_modules.Broken}\ndefault_epochs: 3\n",
    "model/mute": HEAD + "model: {_target_: foreign_modules.Mute}\ndefault_epochs: 3\n",
    "model/plateau": HEAD + "model: {_target_: foreign_modules.Plateau}\ndefault_epochs: 4\n",
    "data/bars": "_target_: foreign_modules.BarsDataModule\nbatch_size: 16\nnum_workers: 0\n",
    "data/dict_bars": "_target_: foreign_modules.DictBarsDataModule\nbatch_size: 16\nadapter: foreign_modules.to_pair\n",
    "data/raw_dict_bars": "_target_: foreign_modules.DictBarsDataModule\nbatch_size: 16\n",
    "data/stream": "_target_: foreign_modules.StreamDataModule\nbatch_size: 16\n",
    "data/late": "_target_: late_parts.Late\nbatch_size: 10\nfeatures: 5\ntrain_subset: null\ntrain_on_validation: false\n"
    "seed: ${seed}\n",
    "data/wide": "_target_: foreign_modules.Wide\nbatch_size: 16\n",
}


@pytest.fixture
def foreign(tmp_path: Path) -> str:
    """--config-dir with the YAMLs."""
    for name, text in FILES.items():
        path = tmp_path / "foreign" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return f"--config-dir={tmp_path / 'foreign'}"


@pytest.fixture
def fit(foreign: str, train: Callable[..., Path]) -> Callable[..., Path]:
    """fit("model=gan", ...): train with the YAMLs, quietly."""

    def make(*overrides: str, directory: str = "run", code: int = 0) -> Path:
        return train(foreign, "threads=1", "logger=none", *overrides, directory=directory, code=code)

    return make
