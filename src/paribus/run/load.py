"""Load a finished run: its network, its data module, predictions for new inputs.

    from paribus import load_run
    run = load_run("outputs/2026-01-01/12-00-00.000000")
    run.predict(rows)
"""  # fmt: skip

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from paribus import record
from paribus.config.targets import require_trusted
from paribus.data.foreign import ForeignData
from paribus.data.module import InMemory
from paribus.errors import UserError, summarise_error
from paribus.paths import parse_path
from paribus.randomness import restoring_seed_variables
from paribus.run.build import build_data, build_network
from paribus.run.criteria import build_loss
from paribus.run.factory import is_foreign
from paribus.run.foreign import build_module
from paribus.training.checkpoints import read_described
from paribus.training.flips import compute_outputs
from paribus.training.learner import Learner, find_learner
from paribus.training.losses import Loss


@dataclass(frozen=True)
class Run:
    """A run that `load_run` has loaded.

    Attributes:
        config: its resolved configuration.
        checkpoint: "best" or "last".
        epoch: the epoch (counted from 1) of that checkpoint.
        network: the network with the weights of that epoch, in evaluation mode, on the CPU.
        data: the data module with the statistics of the run; `data.setup("fit")` (or "test") reads the data. Of a
            LightningDataModule of your own it is a ForeignData, whose `module` is yours.
        kind: Classifier or Regressor; None for a LightningModule of your own, which is then the network.
        loss: its loss, as configured; None for a LightningModule of your own.
        target_mean: the mean target of the training part, a baseline of regression; None for classification.
    """

    directory: Path
    summary: dict[str, Any]
    config: dict[str, Any]
    checkpoint: str
    epoch: int
    network: nn.Module
    data: InMemory | ForeignData
    kind: type[Learner] | None
    loss: Loss | None
    target_mean: float | None

    def predict(self, raw: Any) -> Tensor:
        """Predict new inputs, normalised with the statistics of the training part.

        With data.average_flips the outputs are means over each image and its mirror image, as in validation.

        For images: bytes (n, channels, height, width) or (n, height, width). Returns probabilities (n, classes) for
        classification.
        For a table: a data frame with the feature columns, or an array (n, features); returns (n,), the target's unit.
        A LightningModule of your own gets `raw` as a tensor, and returns what its forward returns.
        """
        with torch.no_grad():
            output = compute_outputs(self.network, self.data.inputs(raw), self.data.average_flips)
        if self.loss is None:
            return output
        predictions = self.loss.interpret(output)
        return torch.stack([1 - predictions, predictions], 1) if self.loss.binary else predictions


def load_run(directory: str | Path, checkpoint: str | None = None, root: str | None = None, trust: bool = False) -> Run:
    """Load a run from its directory. Raises RecordError where there is no run or its checkpoint cannot be read.

    Args:
        checkpoint: "best" or "last"; None: the best, or the last where the run had no validation.
        root: the directory of its data (data.root), if they have moved.
        trust: True allows the configuration to name any class; otherwise only those of Paribus, torch.nn, torch.optim,
            torchvision and Lightning.
    """
    directory = parse_path(directory, "The directory of the run")
    summary = record.read_summary(directory)
    if checkpoint is None:
        checkpoint = "best" if (directory / record.BEST).exists() else "last"
    path = directory / {"best": record.BEST, "last": record.LAST}[checkpoint]
    try:
        stored, described = read_described(path, with_training=False)
    except FileNotFoundError:
        raise record.RecordError(_explain_missing(path, summary)) from None
    state, config, statistics = stored["state_dict"], described["config"], described["statistics"]
    epoch, target_mean = described["epoch"], described["target_mean"]
    if described["identity"] != summary.get("identity"):
        raise record.RecordError(f"{path} belongs to another run than {record.SUMMARY} beside it.")
    config = record.use_current_targets(config)
    if not trust:
        called = ("data", "model", "activation", "loss", "metrics")
        require_trusted({key: config[key] for key in called if key in config}, str(path))
    if root is not None:
        if "root" not in config["data"]:
            raise UserError(f"The data of {directory} are not in a data.root: {config['data'].get('path')}.")
        config["data"]["root"] = root
    data = build_data(config)
    try:
        data.restore(statistics)
        for name, value in (described.get("shapes") or {}).items():
            _set_shape(data, name, tuple(value) if isinstance(value, list) else value)
        network: nn.Module
        if is_foreign(config):
            assert isinstance(data, ForeignData)
            with restoring_seed_variables():
                network = build_module(config, data)
        else:
            network = build_network(config, data)
        network.load_state_dict({name.removeprefix("network."): tensor for name, tensor in state.items()})
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise record.RecordError(
            f"{path} does not fit its network and data ({summarise_error(error)}). {record.advise_repeat(directory)}"
        ) from None
    network.eval()
    loss = None if is_foreign(config) else build_loss(config, data)
    kind = None if loss is None else find_learner(loss)
    return Run(directory, summary, config, checkpoint, epoch, network, data, kind, loss, target_mean)


def _explain_missing(path: Path, summary: Mapping[str, Any]) -> str:
    """Say why a run has no checkpoint at `path`, and what to do next."""
    others = [name for name in (record.BEST, record.LAST) if (path.parents[1] / name).exists()]
    if others:
        return f"{path} does not exist. There is a {Path(others[0]).name}: choose that."
    command = f": {summary['command']}" if summary.get("command") else "."
    again = "start the study's command again." if summary.get("study") else f"train the run again{command}"
    if summary["status"] in record.FINISHED:
        return f"{path} does not exist, though the run is {summary['status']}. {record.advise_repeat(path.parents[1])}"
    if summary["status"] != record.FAILED:
        return f"{path} does not exist, and the run is {summary['status']}. To have it, {again}"
    message = f": {summary['message'].rstrip('.')}" if summary.get("message") else ""
    return f"{path} does not exist, since the run failed{message}. Mend that, and {again}"


def _set_shape(data: InMemory | ForeignData, name: str, value: Any) -> None:
    """Set a shape that `load` finds out in the data, which are not read here."""
    if isinstance(data, InMemory) and getattr(data, name, None) != value:
        setattr(data, name, value)
