"""Suggest the key that somebody means who types another framework's word, or leaves the group out."""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from functools import cache
from typing import Any

from paribus.installation import find_config_directory
from paribus.record import flatten

# Words of other frameworks and programs, and the keys that they stand for.
OTHER_WORDS = {
    "data": ("dataset", "datamodule", "task"),
    "data.augment": ("augmentation", "augmentations", "transform", "transforms"),
    "data.batch_size": ("batch", "bs", "train_batch_size", "per_device_train_batch_size", "minibatch_size"),
    "data.path": ("csv", "file", "data_file", "data_path", "table"),
    "data.root": ("data_dir", "dataset_path", "data_root"),
    "data.train_subset": ("subset", "n_train", "train_size", "num_samples"),
    "data.val_fraction": ("val_split", "validation_split", "valid_size"),
    "data.target": ("label", "y", "target_column"),
    "trainer": ("backend", "distributed", "ddp"),
    "trainer.max_epochs": ("epoch", "epochs", "n_epochs", "num_epochs", "num_train_epochs", "max_epoch", "nb_epochs"),
    "trainer.gradient_clip_val": ("clip", "grad_clip", "gradient_clip", "clip_grad_norm", "max_grad_norm", "clipnorm"),
    "trainer.accumulate_grad_batches": ("accumulation_steps", "gradient_accumulation_steps", "grad_accum"),
    "trainer.precision": ("fp16", "bf16", "amp", "mixed_precision", "use_amp", "dtype"),
    "optim": ("optimizer", "optimiser", "opt", "solver", "algorithm"),
    "optim.lr": ("learning_rate", "learn_rate", "eta", "alpha0", "base_lr", "init_lr", "step_rate"),
    "optim.weight_decay": ("wd", "decay", "l2", "l2_reg"),
    "optim.betas": ("beta1", "beta2", "adam_beta1", "adam_beta2"),
    "optim.eps": ("epsilon", "adam_epsilon"),
    "scheduler": ("lr_scheduler", "schedule", "sched", "lr_schedule", "lr_scheduler_type"),
    "model": ("net", "network", "arch", "architecture", "backbone"),
    "model.hidden": ("hidden_layers", "hidden_sizes", "hidden_layer_sizes", "layer_sizes", "widths"),
    "model.width": ("units", "hidden_dim", "hidden_size", "n_hidden", "n_units", "neurons", "hidden_units", "dim"),
    "model.depth": ("layers", "n_layers", "num_layers", "num_hidden_layers", "depths"),
    "model.dropout": ("drop", "drop_rate", "dropout_rate", "p_dropout"),
    "model.norm": ("batch_norm", "batchnorm", "bn", "normalization", "norm_layer"),
    "model.init": ("initialization", "initializer", "weight_init", "init_method"),
    "loss": ("criterion", "loss_fn", "loss_function", "objective"),
    "activation": ("act", "activation_fn", "act_fn", "nonlinearity", "non_linearity", "activation_function"),
    "study": ("name", "exp_name", "experiment_name", "run_name", "study_name", "project", "group", "tag"),
    "seed": ("random_seed", "random_state", "manual_seed", "n_seeds", "num_seeds"),
    "threads": ("num_threads", "n_threads", "cpus", "n_cpus", "num_cpus"),
    "resume": ("ckpt", "ckpt_path", "checkpoint", "resume_from", "resume_from_checkpoint", "load", "restore"),
    "rerun": ("repeat", "reproduce"),
    "hydra.run.dir": ("output", "output_dir", "out", "out_dir", "save_dir", "log_dir", "logdir", "workdir", "results"),
    "hydra/launcher": ("launcher", "parallel", "slurm"),
    "callbacks": ("callback", "instruments"),
    "logger": ("loggers", "log", "logging", "report_to"),
    "dry_run": ("dryrun", "test_run", "check"),
}  # fmt: skip
_DEVICE = "Choose a device with trainer=cpu, trainer=gpu or trainer=auto."
_STOPPING = "+callbacks.stop={_target_: lightning.pytorch.callbacks.EarlyStopping, monitor: val/loss, patience: 5}"
_JOBS = "Several runs at once: --multirun hydra/launcher=parallel hydra.launcher.n_jobs=N."
_WORKERS = "There are no workers to set: data sets live in memory."
HINTS = {
    "model.loss": "The loss is a group of its own: loss=mae, loss=huber, ... (see --help).",
    **dict.fromkeys(("device", "gpu", "cuda", "cpu", "mps", "use_cuda", "use_gpu", "no_cuda", "accelerator"), _DEVICE),
    **dict.fromkeys(("gpus", "n_gpu", "n_gpus", "num_gpus", "devices", "world_size"),
                    "Train on one GPU with trainer=gpu, on several with trainer=ddp trainer.devices=N."),
    "wandb": "Log to Weights & Biases with logger=wandb.",
    "tensorboard": "TensorBoard is the default; leave it out, or choose logger=none.",
    **dict.fromkeys(("early_stopping", "early_stop", "earlystopping"), f"Add Lightning's callback: '{_STOPPING}'."),
    "patience": f"It is a value of early stopping: '{_STOPPING}'.",
    **dict.fromkeys(("num_workers", "workers", "pin_memory"), _WORKERS),
    **dict.fromkeys(("n_jobs", "jobs", "num_jobs", "parallel_jobs"), _JOBS),
    **dict.fromkeys(("multirun", "sweep", "grid"), "Train several runs with the flag: --multirun seed=1,2,3."),
    **dict.fromkeys(("help", "usage", "options"), "The flag --help lists the options."),
}  # fmt: skip
# What Lightning's trainer takes besides the keys in conf/, that people ask for by name.
TRAINER_WORDS = (
    *("max_steps", "min_epochs", "min_steps", "max_time", "limit_train_batches", "limit_val_batches"),
    *("limit_test_batches", "overfit_batches", "fast_dev_run", "val_check_interval", "check_val_every_n_epoch"),
    *("num_sanity_val_steps", "log_every_n_steps", "accumulate_grad_batches", "gradient_clip_algorithm"),
    *("benchmark", "inference_mode", "profiler", "detect_anomaly", "sync_batchnorm", "strategy", "num_nodes"),
)


def squash(word: str) -> str:
    """Return a word without case and separators: batch-size, Batch_Size and batchsize are one."""
    return re.sub(r"[^a-z0-9]", "", word.casefold())


def suggest_key(key: str, known: Iterable[str]) -> str:
    """Return a sentence that names what is meant by `key`, dotted or bare; empty where nobody can tell.

    Args:
        known: all dotted keys of the configuration.
    """
    group, _, name = key.rpartition(".")
    options = index_keys().get(key)
    if group and options and key not in known:
        return f"It comes with {', '.join(sorted(options))}."
    hint = HINTS.get(key) or ("" if group else _HINTS.get(squash(name), ""))
    if hint:
        return hint
    meant = find_meant(key, known)
    if not meant:
        return ""
    whole = set(known)
    if meant[0] in TRAINER_KEYS and meant[0] not in whole:
        return f"Lightning's trainer takes it: +{meant[0]}=..."
    brought = {option for dotted in meant for option in index_keys().get(dotted, ())}
    elsewhere = brought and whole and not any(dotted in whole for dotted in meant)
    among = f" It comes with {', '.join(sorted(brought))}." if elsewhere else ""
    return f"Did you mean {' or '.join(f'{dotted}=...' for dotted in meant)}?{among}"


def find_meant(key: str, known: Iterable[str] = ()) -> list[str]:
    """Return the dotted keys that `key` may mean, of those `known` or else of conf/; a list of one, or of a few."""
    group, _, name = key.rpartition(".")
    words = {squash(word): dotted for dotted, others in OTHER_WORDS.items() for word in others}
    groups = {squash(word): dotted for word, dotted in words.items() if "." not in dotted}
    if group and squash(group) in groups:
        return find_meant(f"{groups[squash(group)]}.{name}", known) or [f"{groups[squash(group)]}.{name}"]
    for keys in (set(known), set(index_keys()), TRAINER_KEYS):
        exact = [dotted for dotted in keys if squash(dotted) == squash(key) and dotted != key]
        alike = [dotted for dotted in keys if squash(dotted.rpartition(".")[2]) == squash(name) and dotted != key]
        if exact or alike:
            # a part's own value before one of the same name somewhere below
            least = min((dotted.count(".") for dotted in alike), default=0)
            return exact[:1] or sorted(dotted for dotted in alike if dotted.count(".") == least)[:3]
        if squash(name) in words and words[squash(name)] != key:
            meant = words[squash(name)]
            return [meant] if "." in meant or meant in index_groups() else find_meant(meant, known) or [meant]
    if group:
        return []  # the valid names of the group say more
    values = {squash(dotted.rpartition(".")[2]): dotted for dotted in index_keys() if "." in dotted}
    # modle means model, though mode, a value of the plateau schedule, is as close
    for names in ({squash(key): key for key in index_groups()}, values | words):
        begun = sorted(word for word in names if len(name) >= 3 and word.startswith(squash(name)))
        if close := begun or get_close_matches(squash(name), names, n=1, cutoff=0.8):
            return [names[close[0]]]
    return []


TRAINER_KEYS = {f"trainer.{word}" for word in TRAINER_WORDS}
_HINTS = {squash(word): hint for word, hint in HINTS.items()}


@cache
def index_keys() -> dict[str, list[str]]:
    """Return every key of conf/, dotted, and the options that have it (optim=adam); none for the keys of every run."""
    found: dict[str, list[str]] = {}
    for group, option, content in _read_options():
        if not group:
            found |= {str(key): [] for key in content if key not in ("defaults", "hydra")}
            continue
        nodes = content if group == "model" else {group: content}
        for key in flatten({k: v for k, v in nodes.items() if k not in ("defaults", "default_lr", "default_epochs")}):
            if not key.endswith("_target_"):
                found.setdefault(key, []).append(f"{group}={option}")
    return found


@cache
def index_options() -> dict[str, list[str]]:
    """Return the groups of conf/ that have an option, by its name."""
    found: dict[str, list[str]] = {}
    for group, option, _ in _read_options():
        if group:
            found.setdefault(option, []).append(group)
    return found


def index_groups() -> set[str]:
    """Return the groups of conf/, and the keys of every run."""
    return {group for group, _, _ in _read_options()} | {key for key, options in index_keys().items() if not options}


@cache
def _read_options() -> list[tuple[str, str, dict[str, Any]]]:
    """Return group, option and content of each file of conf/, without experiments and Hydra's own groups."""
    import yaml

    folder = find_config_directory()
    found = []
    for path in sorted(folder.rglob("*.yaml")):
        group = path.parent.relative_to(folder).as_posix().strip(".")
        if group != "experiment" and not group.startswith("hydra"):
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
            found.append((group, path.stem, content if isinstance(content, dict) else {}))
    return found
