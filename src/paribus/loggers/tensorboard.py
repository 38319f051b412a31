"""Write TensorBoard events."""

import io
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.compat.proto.summary_pb2 import Summary

from paribus.loggers.events import LAST, ScalarEvents
from paribus.loggers.histogram import Histogram

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from paribus.loggers.writer import EventWriter

FAMILIES = {"grad": "gradients", "update": "updates", "activation": "activations", "weight": "weights"}


class TensorBoard(TensorBoardLogger):
    """A logger that writes TensorBoard events directly into `save_dir`, by epoch.

    All scalars of a call are one event; SummaryWriter.add_scalar would write one event for each.
    """

    def __init__(self, save_dir: str | Path):
        super().__init__(save_dir, name="", version="", default_hp_metric=False)
        self.in_study = False  # whether the table of a study shows this run
        self.purge_step: int | None = None  # from which TensorBoard drops what older files hold
        self._writer: EventWriter | None = None
        self._scalars: dict[tuple[str, ...], ScalarEvents] = {}

    @property
    @rank_zero_experiment
    def experiment(self) -> "EventWriter":
        """Return torch's SummaryWriter, whose events an EventFile writes."""
        if self._writer is None:
            from paribus.loggers.writer import EventWriter

            self._writer = EventWriter(self.log_dir, purge_step=self.purge_step)
        return self._writer

    def finalize(self, status: str) -> None:
        if self._writer is not None:
            self._writer.close()

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        event = self._find_template(tuple(metrics)).serialise(int(step or 0), list(metrics.values()))
        self.experiment.open_file().write(event)

    def _find_template(self, tags: tuple[str, ...]) -> ScalarEvents:
        if tags not in self._scalars:
            self._scalars[tags] = ScalarEvents(tags)
        return self._scalars[tags]

    def log_series(self, tags: Sequence[str], steps: np.ndarray, values: np.ndarray) -> None:
        """Write scalars at n steps, (n, tags): an event a step, all in one write."""
        if len(steps):
            events = self._find_template(tuple(tags)).serialise_series(steps.tolist(), values)
            self.experiment.open_file().write(*events)

    def log_hyperparams(self, params: Mapping[str, Any], *others: Any) -> None:  # type: ignore[override]
        """Write an entry of the HPARAMS tab. Which columns the tab has is written for a whole study: see study.py.

        What Lightning passes by itself, a module's saved arguments, has no status and is left out.
        """
        if "status" not in params:
            return
        from torch.utils.tensorboard.summary import hparams

        _, *entry = hparams(dict(params), {})
        for summary in entry:
            self.experiment.add_summary(summary)

    def log_histogram(self, histogram: Histogram, step: int) -> None:
        """Write a histogram under weight/LAYER or bias/LAYER."""
        if not histogram.counts.any():
            return
        self.experiment.add_histogram_raw(
            f"{histogram.tensor}/{histogram.layer.label}",
            min=histogram.edges[0],
            max=histogram.edges[-1],
            num=histogram.counts.sum(),
            sum=float(histogram.total),
            sum_squares=float(histogram.total_squares),
            bucket_limits=histogram.edges[1:].tolist(),
            bucket_counts=histogram.counts.tolist(),
            global_step=step,
        )

    def log_figure(self, tag: str, figure: "Figure", step: int) -> None:
        """Write a figure as a PNG image."""
        png = io.BytesIO()
        figure.savefig(png, format="png")
        width, height = figure.canvas.get_width_height()
        image = Summary.Image(height=height, width=width, colorspace=4, encoded_image_string=png.getvalue())
        self.experiment.add_summary(Summary(value=[Summary.Value(tag=tag, image=image)]), step)

    def log_layout(self, columns: Iterable[str], quantities: Iterable[tuple[str, str]]) -> None:
        """Write the CUSTOM SCALARS tab: charts of training and validation, then a chart per layer quantity.

        Args:
            columns: columns of metrics.csv.
            quantities: measured pairs of quantity and tensor, such as ("grad_norm", "bias").
        """
        from torch.utils.tensorboard.summary import custom_scalars

        layout: dict[str, dict[str, list[Any]]] = {"training": {}}
        for group, _, name in (column.partition("/") for column in columns if "/" in column):
            if group in ("train", "val"):
                layout["training"][name] = ["Multiline", [f"^(train|val)/{name}$"]]
            else:
                layout.setdefault(group, {})[name] = ["Multiline", [f"^{group}/{name}$"]]
        layout |= {family: {} for family in (*FAMILIES.values(), "more")}
        for quantity, tensor in quantities:
            family = "activation" if tensor == "activation" else quantity.partition("_")[0]
            title = f"{quantity} (biases)" if tensor == "bias" else quantity
            ending = rf".*\.{tensor}$" if tensor != "activation" else ""
            # earlier versions had the same tags without the first character
            layout[FAMILIES.get(family, "more")][title] = ["Multiline", [f"^{LAST}?{re.escape(quantity)}/{ending}"]]
        shown = {family: charts for family, charts in layout.items() if charts}
        self.experiment.add_summary(custom_scalars(shown))

    def save(self) -> None:
        """Write no hparams.yaml: .hydra/ has the configuration."""
