"""twins.npz: predictions on the first validation samples, and a sketch of the weights, each epoch."""

from pathlib import Path

import numpy as np
import pytest
import torch
from small_stacks import jobs, read_summary
from torch import nn

from paribus import load_run, record
from paribus.record.twins import TwinsWriter, read_twins
from paribus.run.attempt import Outcome, attempt
from paribus.stacked.attempt import attempt_stack
from paribus.training.losses import Loss
from paribus.training.twins import WeightSketch, read_predictions


def test_a_sketch_adds_each_weight_with_a_sign_to_one_coordinate() -> None:
    network = nn.Sequential(nn.Linear(30, 20), nn.Linear(20, 3))
    sketch = WeightSketch(network.parameters())
    flat = torch.cat([p.detach().flatten() for p in network.parameters()]).numpy()
    signs = sketch._signs.numpy()
    assert set(signs.tolist()) == {-1, 1}
    expected = np.bincount(np.arange(len(flat)) % 127, signs[: len(flat)] * flat.astype(float), 127)
    np.testing.assert_allclose(sketch.compute(), expected, rtol=1e-4, atol=1e-6)
    stack = [torch.stack([p.detach(), 2 * p.detach()]) for p in network.parameters()]
    np.testing.assert_allclose(WeightSketch(stack, lead=1).compute(), [expected, 2 * expected], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("changed", ["all", "one column"])
def test_distances_of_sketches_are_those_of_weights_within_their_known_error(changed: str) -> None:
    """√(2 / 127) = 12.5 % of the square; a column of a matrix is spread over all coordinates as well."""
    ratios, random = [], torch.Generator().manual_seed(1)
    one = torch.zeros(256, 128)
    sketch = WeightSketch([one])
    for _ in range(400):
        one.zero_()
        if changed == "all":
            one.normal_(generator=random)
        else:
            one[:, int(torch.randint(128, (1,), generator=random))] = torch.randn(256, generator=random)
        ratios.append(float(np.square(sketch.compute()).sum() / one.square().sum()))
    assert np.mean(ratios) == pytest.approx(1, abs=4 * 0.125 / 20)
    assert np.std(ratios) < 1.15 * 0.125


def test_predictions_are_classes_or_values() -> None:
    scores = torch.tensor([[0.1, 0.9], [2.0, -1.0]])
    assert read_predictions(Loss(nn.CrossEntropyLoss, "classification", True), scores).tolist() == [1, 0]
    assert read_predictions(Loss(nn.MSELoss, "regression", True), torch.tensor([0.5, 2.0])).tolist() == [0.5, 2.0]


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / record.TWINS
    writer = TwinsWriter(path)
    writer.add(1, (np.zeros(3, np.int16), np.zeros(127, np.float32)))
    writer.write()
    assert read_twins(path)["prediction"].shape == (1, 3)
    for said, content in (("does not have all epochs", path.read_bytes()), ("is damaged", b"half")):
        path.write_bytes(content)
        with pytest.raises(record.RecordError, match=said):
            TwinsWriter(path).restore([1, 2])


@pytest.mark.slow
def test_runs_alone_and_in_a_stack_record_what_their_networks_predict(tmp_path: Path) -> None:
    together, alone = (jobs(tmp_path / name, "seeds.order=1,2", "logger=none") for name in ("stacked", "alone"))
    assert attempt_stack(together) == [Outcome()] * 2 and read_summary(together[0].directory)["stacked"] == 2
    assert [attempt(job, console=False) for job in alone] == [Outcome()] * 2
    for one, other in zip(alone, together, strict=True):
        found, stacked = (read_twins(job.directory / record.TWINS) for job in (one, other))
        assert found["epoch"].tolist() == [1, 2] and found["prediction"].dtype == np.float32
        for name, array in found.items():
            np.testing.assert_allclose(stacked[name], array, rtol=1e-3, atol=1e-3)
        run = load_run(one.directory, "last")
        run.data.setup("fit")
        inputs = run.data.get_first_inputs("val", record.N_PROBE)
        with torch.no_grad():
            np.testing.assert_allclose(run.network(inputs), found["prediction"][-1], rtol=1e-5)
    first, second = (read_twins(job.directory / record.TWINS) for job in alone)
    parted = np.linalg.norm(first["weights"] - second["weights"], axis=1)
    with np.load(alone[0].directory / record.WEIGHTS) as a, np.load(alone[1].directory / record.WEIGHTS) as b:
        true = sum(np.square(a[key] - b[key]).sum() for key in a if key.startswith("after/")) ** 0.5
    assert parted[-1] == pytest.approx(true, rel=0.25)
