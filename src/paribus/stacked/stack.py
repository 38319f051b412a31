"""Train many runs as one program: their networks stacked, each with the record that it would have alone."""

import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from paribus.instruments.instrument import Instrument
from paribus.instruments.measurement import Measured, split_by_tensor
from paribus.loggers.histogram import Histogram
from paribus.models.layers import evaluation_mode
from paribus.randomness import make_generator
from paribus.stacked.checks import check_outputs, check_step
from paribus.stacked.member import MemberInstrument, Member
from paribus.stacked.modules import NotStackable, set_generators
from paribus.stacked.optimizer import Sources, StackedOptimizer
from paribus.stacked.view import StackProbes, StackView, share_memory
from paribus.training.checkpoints import SECONDS_BETWEEN
from paribus.training.recording import LayerRows
from paribus.training.sums import average_by_fold

MAX_WRITE_SHARE = 0.05  # of the time, at most, goes into checkpoints


class Stack:
    """K runs of one shape, trained as one.

    Args:
        members: what was built of each run. Sizes of their data, batches, epochs, network, kind of optimizer and of
            schedule agree.
        instruments: that see all of them at once.

    Raises NotStackable where the runs cannot be trained together.
    """

    def __init__(self, members: Sequence[Member], instruments: Mapping[str, Instrument]):
        self.members = list(members)
        first = members[0].prepared
        self.learner = first.learner
        self.instruments = dict(instruments)
        self.view = StackView([member.learner for member in members])
        self.epochs = int(first.config["trainer"]["max_epochs"])
        self.batch_size = first.data.batch_size
        assert first.data.train is not None and first.data.val is not None
        self.samples = len(first.data.train[0])
        self.inputs, self.targets = (part.new_empty(len(members), *part.shape) for part in first.data.train)
        self.validates = len(first.data.val[0]) > 0
        folds = [fold for member in members if (fold := member.prepared.data.validation_folds) is not None]
        self.folds = torch.stack(folds) if folds else None
        self.scores_training = any(name.startswith("train/") for name in set(self.learner.columns) - {"train/loss"})
        self.steps = math.ceil(self.samples / self.batch_size)
        self.sources = Sources([(m.prepared.config, m.learner) for m in members], self.steps * self.epochs)
        self.parameters = [p for p in self.view.network.parameters() if p.requires_grad]
        self.optimizer = StackedOptimizer(self.parameters, [optimizer for optimizer, _ in self.sources.by_run])
        self.epoch = 0 if members[0].stored is None else int(members[0].stored["recorder"]["epoch"])  # that are done
        self._before_step = [i for i in self.instruments.values() if type(i).before_step is not Instrument.before_step]
        self._after_step = [i for i in self.instruments.values() if type(i).after_step is not Instrument.after_step]
        self.written_at, self.write_seconds = time.monotonic(), 0.0  # the first checkpoints come after ten seconds
        stored = [member.stored for member in members if member.stored is not None]
        if stored:
            self.sources.load(stored)
            self.optimizer.load([each["optimizer_states"][0] for each in stored])
            self.optimizer.refresh()
        data = [member.prepared.data for member in members]
        if not data[0].stores_inputs and any(each.statistics() != data[0].statistics() for each in data):
            raise NotStackable("the data are normalised differently in every run")
        inputs = StackProbes(data).get_first_inputs("train", 4)
        check_outputs([member.learner for member in members], self.view, inputs)
        check_step(self.view, inputs)
        for k, member in enumerate(self.members):
            share_memory(member.learner.network, self.view.network, k)

    def fit(self) -> None:
        """Train all epochs, and finish every record."""
        for member in self.members:
            with member.isolating_failures():
                member.open(self.epoch)
        probes = StackProbes([member.prepared.data for member in self.members])
        logging.disable(logging.INFO)  # each run's own instruments have said what there is to say
        try:
            for instrument in self.instruments.values():
                instrument.attach(self.view, probes)  # type: ignore[arg-type]
        finally:
            logging.disable(logging.NOTSET)
        if self.epoch == 0 and self.instruments:
            self._record_initial()
        while self.epoch < self.epochs and any(member.active for member in self.members):
            self._train_epoch()
        self._write_checkpoints()
        for k, member in enumerate(self.members):
            if member.active:
                with member.isolating_failures():
                    if not member.learner.has_finite_weights():
                        member.recording.diverged = {"epoch": self.epoch, "step": self._steps_done, "what": "weights"}
                        self._write_checkpoint(k, member)
                    member.finish()

    @property
    def _steps_done(self) -> int:
        """Optimizer steps done."""
        return self.epoch * self.steps

    def _record_initial(self) -> None:
        layers = self.view.layers
        tensors = [(layer, tensor, p[0].numel()) for layer in layers for tensor, p in layer.tensors]
        sizes = torch.tensor([size for _, _, size in tensors])
        size = LayerRows.from_measured(list(split_by_tensor("size", [(layer, tensor) for layer, tensor, _ in tensors], sizes)))
        measured, histograms = LayerRows.from_measured(self._measure(0)), self._compute_histograms()
        for k, member in enumerate(self.members):
            if member.active:
                with member.isolating_failures():
                    member.recording.add_layers(0, size, charted=False)
                    member.recording.add_initial(measured.select_run(k))
                    member.recording.draw(0, self._select_histograms(k, member, histograms))

    def _train_epoch(self) -> None:
        started = time.perf_counter()
        epoch, network = self.epoch, self.view.network
        network.train()
        set_generators(network, lambda: [make_generator(member.seed, "training", epoch) for member in self.members])
        inputs, targets = self._arrange_epoch(epoch)
        outputs: list[Tensor] = []
        whole = [k for k, member in enumerate(self.members) if member.active]  # the runs that have not broken yet
        sums, ones = self.view.training_sums, torch.ones(len(self.members))
        for step, start in enumerate(range(0, self.samples, self.batch_size)):
            batch, wanted = inputs[:, start : start + self.batch_size], targets[:, start : start + self.batch_size]
            output = network(self._to_inputs(batch))
            each, n = self._compute_sample_losses(output, wanted), wanted.shape[1]
            cost = each.flatten(1).mean(1)
            found, losses = output.detach(), cost.detach()
            of_whole = losses if len(whole) == len(self.members) else losses[whole]
            if step == 0 or not math.isfinite(of_whole.sum()):
                whole = self._inspect_step(step, batch, found, losses, whole)
            sums.add(n, losses, {})
            if self.scores_training:
                outputs.append(found)
            cost.backward(ones)
            for instrument in self._before_step:
                instrument.before_step(step, n)
            self.optimizer.step()
            for p in self.parameters:
                p.grad = None
            for instrument in self._after_step:
                instrument.after_step(step)
            if step == self.steps - 1:
                lr, momenta = self.sources.get_rates(), self.sources.get_momenta()
            if self.learner.interval == "step" and self.sources.advance():
                self.optimizer.refresh()
        if self.learner.interval == "epoch" and self.sources.advance():
            self.optimizer.refresh()
        if outputs:
            counts = self._score_samples(outputs, targets, training=True)
            sums.add_sums({name: each.sum(1) for name, each in counts.items()})
        self.epoch += 1
        self._record_epoch(started, lr, momenta)
        if time.monotonic() - self.written_at >= max(SECONDS_BETWEEN, self.write_seconds / MAX_WRITE_SHARE):
            self._write_checkpoints()

    def _arrange_epoch(self, epoch: int) -> tuple[Tensor, Tensor]:
        """The training parts of all runs, (K, samples, ...), each in its order of that epoch; for that epoch."""
        batches = [member.prepared.data.make_training_batches(lambda: epoch) for member in self.members]
        for k, each in enumerate(batches):
            each.arrange_epoch(into=(self.inputs[k], self.targets[k]))
        return self.inputs, self.targets

    def _compute_sample_losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss of each sample, (K, ...), for outputs (K, n, ...)."""
        each = self.learner.loss(outputs.flatten(0, 1), targets.flatten(0, 1), reduction="none")
        return each.unflatten(0, outputs.shape[:2])

    def _score_samples(self, outputs: Sequence[Tensor], targets: Tensor, training: bool) -> dict[str, Tensor]:
        """What is counted beside the loss, of each sample, (K, samples), for an epoch's outputs, each (K, n, ...)."""
        self.learner.training = training
        counts = self.learner.score_samples(torch.cat(list(outputs), 1).flatten(0, 1), targets.flatten(0, 1))
        return {name: each.unflatten(0, targets.shape[:2]) for name, each in counts.items()}

    def _to_inputs(self, raw: Tensor) -> Tensor:
        """What the networks see of a batch (K, n, ...) of the tensors in memory."""
        data = self.members[0].prepared.data
        return raw if data.stores_inputs else data.inputs(raw.flatten(0, 1)).unflatten(0, raw.shape[:2])

    def _inspect_step(self, step: int, batch: Tensor, output: Tensor, losses: Tensor, whole: Sequence[int]) -> list[int]:
        """Have the runs that were whole, and whose loss is not finite, say which layer broke; those that still are."""
        finite = torch.isfinite(losses).tolist()
        for k in whole:
            member = self.members[k]
            if not finite[k] and member.learner.loss_hook is not None:
                member.learner.network.train()
                member.learner.loss_hook(self._to_inputs(batch[k : k + 1])[0], output[k], losses[k])
            if not finite[k] or step == 0:
                for instrument in self._get_own_instruments(member):
                    instrument.before_step(step, batch.shape[1])
        return [k for k in whole if finite[k]]

    def _validate(self) -> list[tuple[dict[str, float], dict[str, np.ndarray] | None]]:
        """Each run's means over its validation part, and over the folds of it."""
        if not self.validates:
            return [({}, None) for _ in self.members]
        batches = [member.prepared.data.make_eval_batches(member.prepared.data.val) for member in self.members]
        inputs = torch.stack([each.inputs for each in batches])
        targets = torch.stack([each.targets for each in batches])
        outputs: list[Tensor] = []
        losses: list[Tensor] = []
        sums = self.view.validation_sums
        with evaluation_mode(self.view.network):
            for start in range(0, inputs.shape[1], batches[0].batch_size):
                chosen = slice(start, start + batches[0].batch_size)
                output, wanted = self.view.network(self._to_inputs(inputs[:, chosen])), targets[:, chosen]
                losses.append(self._compute_sample_losses(output, wanted).flatten(1))
                sums.add(wanted.shape[1], losses[-1].mean(1), {})
                outputs.append(output)
        counts = self._score_samples(outputs, targets, training=False)
        sums.add_sums({name: each.sum(1) for name, each in counts.items()})
        means = [{f"val/{name}": value for name, value in run.items()} for run, _ in sums.read_stack()]
        if self.folds is None:
            return [(run, None) for run in means]
        by_fold = average_by_fold({"loss": torch.cat(losses, 1), **counts}, self.folds)
        return [(run, {name: values[k] for name, values in by_fold.items()}) for k, run in enumerate(means)]

    def _measure(self, epoch: int) -> list[Measured]:
        with torch.no_grad():
            return [found for instrument in self.instruments.values() for found in instrument.measure(epoch)]

    def _compute_histograms(self) -> list[Histogram]:
        return [found for i in self.instruments.values() for found in i.histograms(self.epoch, last=False)]

    def _select_histograms(self, k: int, member: Member, together: Sequence[Histogram]) -> Iterator[Histogram]:
        yield from (histogram.select_run(k) for histogram in together)
        for instrument in self._get_own_instruments(member):
            yield from instrument.histograms(self.epoch, last=False)

    def _get_own_instruments(self, member: Member) -> list[Instrument]:
        """The instruments of a run that no one of the stack stands for."""
        return [instrument for name, instrument in member.instruments.items() if name not in self.instruments]

    def _record_epoch(self, started: float, lr: Sequence[float], momenta: Sequence[float | None]) -> None:
        """Write down the epoch of each run that takes part."""
        validated = self._validate()
        trained = self.view.training_sums.read_stack()
        seconds = (time.perf_counter() - started) / len(self.members)  # a run's share
        measured, histograms = LayerRows.from_measured(self._measure(self.epoch)), self._compute_histograms()
        for k, member in enumerate(self.members):
            if not member.active:
                continue
            with member.isolating_failures():
                (means, bad_step), (validation, folds) = trained[k], validated[k]
                recording = member.recording
                row = {f"train/{name}": value for name, value in means.items()} | validation
                recording.add_epoch(self._steps_done, lr[k], row, seconds, momenta[k], folds)
                recording.log_epoch(recording.add_layers(self.epoch, measured.select_run(k)))
                recording.draw(self.epoch, self._select_histograms(k, member, histograms))
                self._find_divergence(k, member, bad_step, validation.get("val/loss", 0.0))
                member.checkpoints.keep_if_best(self.epoch, validation, member.learner)
                if recording.diverged is not None:
                    self._write_checkpoint(k, member)
                    member.finish()

    def _find_divergence(self, k: int, member: Member, bad_step: int | None, val_loss: float) -> None:
        seen = [MemberInstrument(instrument, k) for instrument in self.instruments.values()]
        own = [MemberInstrument(instrument, None) for instrument in self._get_own_instruments(member)]
        member.recording.find_divergence(
            self._steps_done, self._steps_done - self.steps, bad_step, val_loss, [*seen, *own], member.learner.has_finite_weights
        )

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
        member.write_checkpoint(self.epoch, self.steps, self.optimizer.get_state(k), schedule)
