"""Read what modules and callbacks log with self.log, by epoch."""

from collections.abc import Collection

from lightning import Trainer
from torch import Tensor

from paribus.record import to_columns


class LoggedValues:
    """The values of an epoch that were logged with self.log.

    Lightning shows them in trainer.callback_metrics, where a value stays until its name is logged again. A value is new
    if it lies elsewhere in memory than the last one of its name, which is kept here: so nothing waits for the device.
    """

    def __init__(self) -> None:
        self._last: dict[str, Tensor] = {}
        self._steps: dict[str, list[tuple[int, Tensor]]] = {}  # samples and value of each step, by name
        self._epoch: dict[str, Tensor] = {}
        self._samples = 0  # of the last step

    def start_epoch(self) -> None:
        self._steps, self._epoch = {}, {}

    def add_step(self, trainer: Trainer, samples: int) -> None:
        """Add what was logged in a training step of so many samples; `add_late` adds what follows until the next."""
        self._samples = samples
        self.add_late(trainer)

    def add_late(self, trainer: Trainer) -> None:
        """Add what callbacks have logged at the end of the last step."""
        samples = self._samples
        for name, value in self._find_new(trainer).items():
            self._steps.setdefault(name, []).append((samples, value))

    def add_epoch(self, trainer: Trainer) -> None:
        """Add what was logged for a whole validation, or the epoch."""
        self._epoch |= self._find_new(trainer)

    def read(self, trainer: Trainer, without: Collection[str] = ()) -> dict[str, float]:
        """Return the values of the epoch so far, by column of metrics.csv; of the names `without`, none.

        Lightning's own mean over the epoch counts (on_epoch=True). Of what was logged by step alone it is the mean over
        the steps, weighted by their samples.
        """
        self.add_epoch(trainer)
        names = {**self._steps, **self._epoch}
        forks = {f"{name}_{fork}" for name in names for fork in ("step", "epoch")}
        values = {name: self._average(name) for name in names if name not in forks and name not in without}
        columns = to_columns(values)
        return {columns[name]: value for name, value in values.items()}

    def _average(self, name: str) -> float:
        if f"{name}_epoch" in self._epoch or name not in self._steps:
            return float(self._epoch.get(f"{name}_epoch", self._epoch.get(name)))  # type: ignore[arg-type]
        steps = list(self._steps[name])
        if name in self._epoch:  # late in the last step
            steps.append((self._samples, self._epoch[name]))
        total = sum(samples for samples, _ in steps)
        return sum(samples * float(value) for samples, value in steps) / total if total else float(steps[-1][1])

    def _find_new(self, trainer: Trainer) -> dict[str, Tensor]:
        found = trainer.callback_metrics
        new = {
            name: value
            for name, value in found.items()
            if name not in self._last or self._last[name].data_ptr() != value.data_ptr()
        }
        self._last |= new
        return new
