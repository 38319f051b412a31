"""Suggest the key that somebody means who types another framework's word, or leaves the group out."""

from collections.abc import Iterable

OTHER_WORDS = {
    "batch": "data.batch_size",
    "bs": "data.batch_size",
    "dataset": "data",
    "datamodule": "data",
    "epochs": "trainer.max_epochs",
    "n_epochs": "trainer.max_epochs",
    "num_epochs": "trainer.max_epochs",
    "learning_rate": "optim.lr",
    "wd": "optim.weight_decay",
    "optimizer": "optim",
    "lr_scheduler": "scheduler",
    "schedule": "scheduler",
    "net": "model",
    "network": "model",
    "arch": "model",
    "init": "model.init",
    "clip": "trainer.gradient_clip_val",
    "grad_clip": "trainer.gradient_clip_val",
    "name": "study",
}
HINTS = {
    "model.loss": "The loss is a group of its own: loss=mae, loss=huber, ... (see --help).",
    "device": "Choose a device with trainer=cpu, trainer=gpu or trainer=auto.",
    "gpu": "Choose a device with trainer=cpu, trainer=gpu or trainer=auto.",
    "gpus": "Train on one GPU with trainer=gpu, on several with trainer=ddp trainer.devices=N.",
    "accelerator": "Choose a device with trainer=cpu, trainer=gpu or trainer=auto.",
    "wandb": "Log to Weights & Biases with logger=wandb.",
    "tensorboard": "TensorBoard is the default; leave it out, or choose logger=none.",
    "early_stopping": (
        "Add Lightning's callback: '+callbacks.stop={_target_: lightning.pytorch.callbacks.EarlyStopping, "
        "monitor: val/loss, patience: 5}'."
    ),
    "patience": "See early stopping: '+callbacks.stop={_target_: lightning.pytorch.callbacks.EarlyStopping, ...}'.",
    "metric": "A metric is chosen where runs are compared: python -m multirun_analysis outputs/STUDY --metric COLUMN.",
    "num_workers": "There are no workers to set: data sets live in memory.",
    "workers": "There are no workers to set: data sets live in memory.",
    "n_jobs": "Several runs at once: --multirun hydra/launcher=parallel hydra.launcher.n_jobs=N.",
}


def suggest_key(key: str, known: Iterable[str]) -> str:
    """Return a sentence that names the key meant by a bare `key`; empty where nobody can tell.

    Args:
        known: all dotted keys of the configuration.
    """
    if key in HINTS:
        return HINTS[key]
    whole = set(known)
    meant = [name for name in whole if name.rpartition(".")[2] == key and "." in name]
    if key in OTHER_WORDS and not meant:
        meant = [OTHER_WORDS[key]]
    # a model's own value before one of the same name somewhere below
    meant.sort(key=lambda name: (name.count("."), name))
    return f"Did you mean {meant[0]}=...?" if meant else ""
