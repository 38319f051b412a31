"""The studies that STUDIES.md is made of, in the order in which they are made, and the commands that make them."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

BFLOAT16 = ("trainer.precision=bf16-mixed",)
CONFIGURATION = Path(__file__).parents[1] / "conf"


@dataclass(frozen=True)
class Study:
    """An experiment of conf/experiment/, whose records land in outputs/ under the same name.

    Attributes:
        tested: the checkpoint with which evaluate.py reads the test set, once: "best", or "last" for a final fit.
        cifar: whether it needs CIFAR-10.
        boosted: whether boosted trees are fitted to the same splits.
        searched: whether it searches settings (tune=), and is made once it has confirmed them.
        more: overrides that its command has besides.
    """

    name: str
    tested: str | None = None
    cifar: bool = False
    boosted: bool = False
    searched: bool = False
    more: tuple[str, ...] = ()

    @property
    def train(self) -> list[str]:
        small = self.name.startswith("concrete")  # networks whose time is overhead
        return [
            "train.py",
            "--multirun",
            f"experiment={self.name}",
            f"hydra/launcher={'stacked' if small else 'parallel'}",
            *self.more,
        ]

    @property
    def evaluate(self) -> list[str] | None:
        return ["evaluate.py", f"run=outputs/{self.name}", "--checkpoint", self.tested] if self.tested else None

    @property
    def boost(self) -> list[str] | None:
        return ["-m", "studies.boosting", f"outputs/{self.name}"] if self.boosted else None

    @property
    def commands(self) -> list[list[str]]:
        """What makes it, as one types it."""
        return [["python", *typed] for typed in (self.train, self.evaluate, self.boost) if typed]


STUDIES = (
    Study("mlp_activations"),
    Study("mlp_schedulers"),
    Study("mlp_learning_rates"),
    Study("mlp_candidates"),
    Study("mlp_best", tested="last"),
    Study("mlp_noise"),
    Study("mlp_tuned", searched=True),
    Study("concrete_architectures"),
    Study("concrete_batch_sizes"),
    Study("concrete_losses"),
    Study("concrete_optimizers"),
    Study("concrete_schedulers"),
    Study("concrete_depths"),
    Study("concrete_deep"),
    Study("concrete_final", tested="last"),
    Study("concrete_splits"),
    Study("concrete_init"),
    Study("concrete_tuned", searched=True),
    Study("concrete_noise"),
    Study("concrete_edge_of_stability"),
    Study("concrete_candidates"),
    Study("concrete_best", tested="last", boosted=True),
    Study("vgg6_init", cifar=True),
    Study("vgg6_activations_standin", cifar=True),
    Study("vgg6_report_standin", cifar=True),
    Study("vgg6_tuned_standin", cifar=True, searched=True),
    Study("vgg6_fast_search", cifar=True, searched=True, more=BFLOAT16),
    Study("vgg6_fast_left_out", cifar=True, more=BFLOAT16),
    Study("vgg6_fast_alone", cifar=True, more=BFLOAT16),
    Study("vgg6_winner", tested="best", cifar=True),
)
BY_NAME = {study.name: study for study in STUDIES}


@cache
def runs_of(name: str) -> int:
    """How many different runs an experiment asks for."""
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.types import RunMode

    from paribus.sweep.expand import expand_sweep

    typed = [f"experiment={name}"]
    with initialize_config_dir(str(CONFIGURATION), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        study = loader.load_configuration("train", typed, RunMode.MULTIRUN)
        sweep = expand_sweep(typed, loader, study, study.hydra.sweeper.params, study.hydra.sweeper.grids)
    return len({tuple(sorted(overrides)) for overrides in sweep})
