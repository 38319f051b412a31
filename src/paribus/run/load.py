"""A finished run, back in memory: its network, its data module, predictions for new inputs.

    from paribus import load_run
    run = load_run("outputs/2026-01-01/12-00-00.000000")
    run.predict(rows)
"""  # fmt: skip

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from paribus import record
from paribus.config.targets import require_trusted
from paribus.data.module import InMemory
from paribus.errors import UserError
from paribus.paths import parse_path
from paribus.run.build import build_data, build_network
from paribus.training.learner import Learner, find_learner


@dataclass(frozen=True)
class Run:
    """What `load_run` gives back.

    Attributes:
        directory: the run's.
        summary: its summary.json.
        config: its resolved configuration.
        checkpoint: "best" or "last", and `epoch` (counted from 1) the epoch whose weights `network` has.
        network: in evaluation mode, on the CPU.
        data: the data module, with the statistics of the run; `data.setup("fit")` (or "test") reads the data.
        kind: Classifier or Regressor.
        target_mean: of the training part, what the baseline of a regression predicts; None for classification.
    """

    directory: Path
    summary: dict[str, Any]
    config: dict[str, Any]
    checkpoint: str
    epoch: int
    network: nn.Module
    data: InMemory
    kind: type[Learner]
    target_mean: float | None

    def predict(self, raw: Any) -> Tensor:
        """Predictions for new inputs, normalised with the statistics of the training part.

        For images: bytes (n, channels, height, width) or (n, height, width); gives probabilities (n, classes).
        For a table: a data frame with the features' columns, or an array (n, features); gives (n,), the target's unit.
        """
        with torch.no_grad():
            output: Tensor = self.network(self.data.inputs(raw))
        return output.softmax(1) if self.kind.task == "classification" else output


def load_run(directory: str | Path, checkpoint: str | None = None, root: str | None = None, trust: bool = False) -> Run:
    """Load a run from its directory. Raises RecordError where there is none, or its checkpoint cannot be read.

    Args:
        checkpoint: "best" or "last"; None: best, or last where the run had no validation.
        root: where its data are now, if not where they were (data.root).
        trust: whether to call whatever its configuration names; without, only classes of Paribus, torch.nn,
            torch.optim, torchvision and Lightning.
    """
    directory = parse_path(directory, "The directory of the run")
    summary = record.read_summary(directory)
    if checkpoint is None:
        checkpoint = "best" if (directory / record.BEST).exists() else "last"
    path = directory / {"best": record.BEST, "last": record.LAST}[checkpoint]
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
        state, described = stored["state_dict"], stored["paribus"]
        _ = described["config"], described["identity"]
    except FileNotFoundError:
        raise record.RecordError(f"{path} does not exist; the run's status is {summary['status']}.") from None
    except (OSError, RuntimeError, KeyError, EOFError, TypeError, pickle.UnpicklingError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise record.RecordError(f"{path} is damaged, or cannot be read ({reason}). Make the run again.") from None
    if described["identity"] != summary.get("identity"):
        raise record.RecordError(f"{path} belongs to another run than {record.SUMMARY} beside it.")
    config = record.use_current_targets(described["config"])
    if not trust:
        require_trusted({key: config[key] for key in ("data", "model", "activation")}, str(path))
    if root is not None:
        if "root" not in config["data"]:
            raise UserError(f"The data of {directory} are kept in no data.root: {config['data'].get('path')}.")
        config["data"]["root"] = root
    data = build_data(config)
    data.restore(described["statistics"])
    network = build_network(config, data)
    network.load_state_dict({name.removeprefix("network."): tensor for name, tensor in state.items()})
    network.eval()
    kind = find_learner(config["model"]["loss"])
    return Run(
        directory, summary, config, checkpoint, described["epoch"], network, data, kind, described["target_mean"]
    )
