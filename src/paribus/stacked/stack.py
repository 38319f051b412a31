"""Train many runs as one stack of networks, and write for each the same record as for a run alone."""

import math
import time
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from paribus.errors import Paused
from paribus.instruments.instrument import Instrument
from paribus.instruments.measurement import Measured, split_by_tensor
from paribus.loggers.histogram import Histogram
from paribus.randomness import make_generator
from paribus.stacked.batches import StackedBatches
from paribus.stacked.checks import check_outputs, check_step
from paribus.stacked.clipping import Clipping
from paribus.stacked.instruments import StackInstruments
from paribus.stacked.member import Member
from paribus.stacked.modules import NotStackable, set_counts, set_generators
from paribus.stacked.optimizer import StackedOptimizer
from paribus.stacked.scores import StackScores
from paribus.stacked.sizes import Sizes
from paribus.stacked.sources import Sources
from paribus.stacked.view import StackProbes, StackView, share_memory
from paribus.training.checkpoints import SECONDS_BETWEEN
from paribus.training.layer_rows import LayerRows
from paribus.training.steps import Steps
from paribus.training.twins import WeightSketch

MAX_WRITE_SHARE = 0.05  # largest share of the time that writing checkpoints may take


class Stack:
    """K runs of one shape, trained as one.

    Args:
        members: the runs. They agree in batch size and number of batches, in epochs and network, and in the classes
            of optimizer and scheduler. Where their data differ in size, each network `treats_samples_alone`.
        instruments: instruments that measure all runs at once, by name.
        pause: the last epoch to train now; None: all.

    Raises NotStackable where the runs cannot be trained as one.
    """

    def __init__(self, members: Sequence[Member], instruments: Mapping[str, Instrument], pause: int | None = None):
        self.members = list(members)
        first = members[0]
        self.learner = first.learner
        self.instruments = StackInstruments(instruments, self.members)
        self.view = StackView([member.learner for member in members])
        self.epochs = int(first.prepared.config["trainer"]["max_epochs"])
        self.last = self.epochs if pause is None else min(pause, self.epochs)  # to train now
        data = [member.data for member in members]
        self.batches = StackedBatches(data)
        self.steps = self.batches.steps
        self.scores = StackScores(members, self.view)
        self.scores_training = any(name.startswith("train/") for name in set(self.learner.columns) - {"train/loss"})
        # As for a run alone, each loss is tested at once where that waits for no device.
        self.looks = self.view.device.type == "cpu"
        sources = self.sources = Sources([(m.prepared.config, m.learner) for m in members], self.steps * self.epochs)
        self.sketch = WeightSketch(self.view.network.parameters(), lead=1)
        self.parameters = [p for p in self.view.network.parameters() if p.requires_grad]
        self.optimizer = StackedOptimizer(self.parameters, sources.optimizers, sources.groups, sources.build)
        self.clipping = Clipping([member.prepared.config["trainer"] for member in members], self.parameters)
        self.epoch = 0 if members[0].stored is None else int(members[0].stored["recorder"]["epoch"])  # epochs done
        self.view.optimizer = self.optimizer
        self.step_log = next((i for i in instruments.values() if isinstance(i, Steps)), None)
        self.written_at, self.write_seconds = time.monotonic(), 0.0  # checkpoints are due after SECONDS_BETWEEN
        stored = [member.stored for member in members if member.stored is not None]
        if stored:
            self.sources.load(stored)
            self.optimizer.load([each["optimizer_states"][0] for each in stored])
            self.optimizer.refresh()
        if not data[0].stores_inputs and any(module.statistics() != data[0].statistics() for module in data):
            raise NotStackable("each run normalises its data differently")
        inputs = StackProbes(data).get_first_inputs("train", 4)
        check_outputs([member.learner for member in members], self.view, inputs)
        check_step(self.view, inputs)
        if not self.looks:
            self._check_memory()
        for k, member in enumerate(self.members):
            share_memory(member.learner.network, self.view.network, k)

    def _check_memory(self) -> None:
        """Take whole batches, so that torch.OutOfMemoryError comes before training, where the stack can be cut."""
        probes = StackProbes([member.data for member in self.members])
        check_step(self.view, probes.get_first_inputs("train", self.members[0].data.batch_size))
        if self.scores.validates:
            self.view.infer(probes.get_first_inputs("val", self.members[0].data.eval_batch_size))

    def fit(self) -> None:
        """Train all epochs, and finish every record. Raises Paused after the last epoch to train now."""
        for member in self.members:
            with member.isolating_failures():
                member.open(self.epoch)
        self.instruments.attach(self.view)
        if self.epoch == 0 and self.instruments.instruments:
            self._record_initial()
        while self.epoch < self.last and any(member.active for member in self.members):
            self._train_epoch()
        self._write_checkpoints()
        if self.epoch < self.epochs and any(member.active for member in self.members):
            raise Paused(f"Paused after epoch {self.epoch} of {self.epochs}.")
        for k, member in enumerate(self.members):
            if member.active:
                with member.isolating_failures():
                    if not member.learner.has_finite_weights():
                        member.recording.diverged = {"epoch": self.epoch, "step": self._steps_done, "what": "weights"}
                        self._write_checkpoint(k, member)
                    member.finish()

    @property
    def _steps_done(self) -> int:
        """The number of optimizer steps done."""
        return self.epoch * self.steps

    def _record_initial(self) -> None:
        layers = self.view.layers
        tensors = [(layer, tensor, p[0].numel()) for layer in layers for tensor, p in layer.tensors]
        sizes = torch.tensor([size for _, _, size in tensors])
        owners = [(layer, tensor) for layer, tensor, _ in tensors]
        size = LayerRows.from_measured(list(split_by_tensor("size", owners, sizes)))
        measured, histograms = LayerRows.from_measured(self._measure(0)), self._compute_histograms()
        for k, member in enumerate(self.members):
            if member.active:
                with member.isolating_failures():
                    member.recording.add_layers(0, size, charted=False)
                    member.recording.add_initial(measured.select_run(k))
                    member.recording.draw(0, self.instruments.select_histograms(k, histograms, 0))

    def _train_epoch(self) -> None:
        started = time.perf_counter()
        epoch, network, device = self.epoch, self.view.network, self.view.device
        network.train()
        seeds = [member.learner.seed for member in self.members]
        set_generators(network, lambda: [make_generator(seed, "training", epoch, device) for seed in seeds])
        outputs: list[Tensor] = []
        finite_runs = [k for k, member in enumerate(self.members) if member.active]
        sums, ones = self.view.training_sums, torch.ones(len(self.members), device=device)
        due = self.step_log.find_next(self._steps_done, epoch) if self.step_log and self.scores.validates else None
        self._refresh_rates()
        for step, (batch, target, sizes) in enumerate(self.batches.iterate(epoch)):
            if sizes.real is not None:
                set_counts(network, sizes.counts.tolist())
            output = network(self.scores.to_inputs(batch))
            loss = sizes.average(self.learner.loss, self.scores.compute_sample_losses(output, target), target)
            detached, losses = output.detach(), loss.detach()
            if step == 0 or (self.looks and self._finds_broken(losses, finite_runs)):
                finite_runs = self._inspect_step(step, sizes, batch, detached, losses, finite_runs)
            sums.add(sizes.weight, losses, {})
            if self.scores_training:
                outputs.append(detached)
            loss.backward(ones)
            self.instruments.before_step(step, sizes.weight)
            if self.clipping.active:
                self.clipping.clip()
            for k, error in self.optimizer.step().items():
                if self.members[k].active:
                    self.members[k].failure = error
            for p in self.parameters:
                p.grad = None
            self.instruments.after_step(step)
            if step == self.steps - 1:
                lr, momenta = self.view.lr, self.view.momentum
            elif self._steps_done + step + 1 == due:
                due = self._validate_within_epoch(due)
            if self.learner.interval == "step" and self.sources.advance():
                self._refresh_rates()
        if self.learner.interval == "epoch" and self.sources.advance():
            self._refresh_rates()
        if outputs:
            scores = self.scores.score_samples(outputs, self.batches.targets, training=True)
            sums.add_sums({name: self.batches.sizes.sum(values) for name, values in scores.items()})
        self.epoch += 1
        self._record_epoch(started, lr, momenta)
        self._stop_members()
        if time.monotonic() - self.written_at >= max(SECONDS_BETWEEN, self.write_seconds / MAX_WRITE_SHARE):
            self._write_checkpoints()

    def _refresh_rates(self) -> None:
        """Take over the learning rates and momenta of the next step, for the optimizer and for instruments."""
        self.optimizer.refresh()
        self.view.lr, self.view.momentum = self.sources.get_rates(), self.sources.get_momenta()

    def _validate_within_epoch(self, step: int) -> int | None:
        """Validate after an optimizer step, for steps.parquet. Return the step after which it is done next."""
        assert self.step_log is not None
        found = [means for means, _ in self.scores.validate(self.step_log.choose_samples)]
        self.step_log.validated[step] = {name: np.array([run[name] for run in found]) for name in found[0]}
        return self.step_log.find_next(step, self.epoch)

    def _finds_broken(self, losses: Tensor, runs: Sequence[int]) -> bool:
        """Return whether the loss of one of `runs` is not finite. This waits for the device."""
        return not math.isfinite((losses if len(runs) == len(self.members) else losses[runs]).sum())

    def _inspect_step(
        self, step: int, sizes: Sizes, batch: Tensor, output: Tensor, losses: Tensor, runs: Sequence[int]
    ) -> list[int]:
        """Let each of `runs` with a non-finite loss find the layer that broke. Return those whose loss is finite."""
        finite = torch.isfinite(losses).tolist()
        for k in runs:
            member, n = self.members[k], int(sizes.counts[k])
            if not finite[k] and member.learner.loss_hook is not None:
                member.learner.network.train()
                member.learner.loss_hook(self.scores.to_inputs(batch[k : k + 1, :n])[0], output[k, :n], losses[k])
            if not finite[k] or step == 0:
                for instrument in self.instruments.list_own(k):
                    instrument.before_step(step, n)
        return [k for k in runs if finite[k]]

    def _measure(self, epoch: int) -> list[Measured]:
        measured: list[Measured] = []
        self.instruments.measure(epoch, measured)
        return measured

    def _compute_histograms(self) -> list[Histogram]:
        return list(self.instruments.compute_histograms(self.epoch, last=False))

    def _record_epoch(self, started: float, lr: Sequence[float], momenta: Sequence[float | None]) -> None:
        """Validate and measure at the end of an epoch, and record it for each active run."""
        validated = self.scores.validate()
        first, batches = self._steps_done - self.steps, self.view.training_sums.read_batches()
        log = self.step_log
        steps = {} if log is None else log.read_epoch(self.epoch, first, self._steps_done, *batches)
        trained = self.view.training_sums.read_stack()
        seconds = (time.perf_counter() - started) / len(self.members)  # a run's share
        measured = LayerRows.from_measured(self._measure(self.epoch))
        scalars, histograms = self.instruments.measure_scalars(self.epoch), self._compute_histograms()
        self.instruments.charge_members()
        sketch = self.sketch.compute()
        for k, member in enumerate(self.members):
            if not member.active:
                continue
            with member.isolating_failures():
                (means, bad_step), (validation, folds) = trained[k], validated[k]
                recording = member.recording
                row = {f"train/{name}": value for name, value in means.items()} | validation
                recording.add_epoch(self._steps_done, lr[k], row, seconds, momenta[k], folds, complete=False)
                recording.add_scalars({name: values[k] for name, values in scalars.items()})
                recording.write_epoch()
                if steps:
                    recording.steps.add({name: v if v.ndim == 1 else v[:, k] for name, v in steps.items()})
                recording.log_epoch(recording.add_layers(self.epoch, measured.select_run(k)))
                if self.scores.probe is not None:
                    recording.twins.add(self.epoch, (self.scores.probe[k], sketch[k]))
                recording.draw(self.epoch, self.instruments.select_histograms(k, histograms, self.epoch))
                recording.find_divergence(
                    self._steps_done, first, bad_step, validation.get("val/loss", 0.0),
                    self.instruments.list_finders(k), member.learner.has_finite_weights,
                )  # fmt: skip
                member.checkpoints.keep_if_best(self.epoch, recording.rows[-1], member.learner)
                if recording.diverged is not None:
                    self._write_checkpoint(k, member)
                    member.finish()

    def _stop_members(self) -> None:
        """End the runs that somebody has asked to stop, each with a checkpoint to go on from."""
        for k, member in enumerate(self.members if self.epoch < self.epochs else ()):
            if member.active and (stop := member.checkpoints.find_stop(self.epochs)) is not None:
                with member.isolating_failures():
                    self._write_checkpoint(k, member)
                    raise stop

    def _write_checkpoints(self) -> None:
        started = time.monotonic()
        for k, member in enumerate(self.members):
            if member.active:
                with member.isolating_failures():
                    self._write_checkpoint(k, member)
        self.written_at = time.monotonic()
        self.write_seconds = self.written_at - started

    def _write_checkpoint(self, k: int, member: Member) -> None:
        _, scheduler = self.sources.by_run[k]
        schedule = None if scheduler is None else scheduler.state_dict()
        states = self.instruments.get_states(k)
        member.write_checkpoint(self.epoch, self.steps, self.optimizer.get_state(k), schedule, states)
