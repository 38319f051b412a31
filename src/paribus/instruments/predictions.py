"""Record the predictions of a regression."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from paribus.data.module import InMemory
from paribus.instruments.instrument import Instrument
from paribus.record.tables import write_predictions

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Predictions(Instrument):
    """Predictions and targets of the training and validation parts, for regression, in the unit of the target.

    They are computed at the end of the run with the weights of the best epoch (the last one without validation) and
    written to predictions.parquet. A scatter plot compares them with the mean of the training targets.
    """

    in_stack = "once a run"

    def finish(self, directory: Path, best: dict[str, Tensor]) -> None:
        self._parts: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        if not isinstance(self.data, InMemory) or self.data.task != "regression":
            return
        network = self.learner.network
        last = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        network.load_state_dict(best)
        for split, part in (("train", self.data.train), ("val", self.data.val)):
            if part and len(part[0]):
                outputs = [self.learner.predict(inputs).cpu() for inputs, _ in self.data.make_eval_batches(part)]
                self._parts[split] = (part[1].cpu().numpy(), torch.cat(outputs).numpy())
        network.load_state_dict(last)
        write_predictions(directory, self._parts)

    def figures(self, epoch: int, last: bool) -> Iterable[tuple[str, "Figure"]]:
        if last and self._parts:
            from paribus import plots

            yield "predictions", plots.plot_predictions(self._parts, float(self._parts["train"][0].mean(dtype=float)))
