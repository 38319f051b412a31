"""Each optimizer of conf/optim/ takes the steps of its source, written here in numpy from the papers."""

import sys
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import optimizer_sources as sources
import pytest
import torch
import yaml
from conftest import ROOT
from optimizer_sources import LEFT, START, STEPS, TARGET, gradient_of, soap
from torch import nn
from torch.optim import Optimizer

from paribus.errors import UserError
from paribus.run.optimization import check_optimizer, make_optimizer_factory
from paribus.run.restoration import Restoration
from paribus.training.evaluated import show_averages
from paribus.training.muon import Muon
from paribus.training.sam import SAM

NAMES = sorted({path.stem for path in (ROOT / "conf" / "optim").glob("*.yaml")} - {"own"})  # own: of LightningModules


def node_of(name: str, **changed: Any) -> dict[str, Any]:
    """The option's file, with a rate."""
    node = yaml.safe_load((ROOT / "conf" / "optim" / f"{name}.yaml").read_text())
    return {key: float(v) if isinstance(v, str) and "e-" in v else v for key, v in node.items()} | changed


def trained(name: str, steps: int = STEPS, **changed: Any) -> np.ndarray:
    """The weights after each step that Paribus' optimizer takes from START, of the loss above; what is validated."""
    weight = nn.Parameter(torch.tensor(START, dtype=torch.float64))
    optimizer = make_optimizer_factory({"optim": node_of(name, **changed)})([weight])
    left, target = torch.tensor(LEFT), torch.tensor(TARGET)

    def closure() -> Any:
        optimizer.zero_grad()
        loss = (left @ weight - target).square().sum() / 2
        loss.backward()
        return loss.detach()

    found = []
    for _ in range(steps):
        optimizer.step(closure)
        with show_averages([optimizer]):
            found.append(weight.detach().numpy().copy())
    return np.array(found)


@pytest.mark.parametrize(
    ("source", "lr"),
    [
        *((name, 0.05) for name in ("radam", "nadamw", "adamax", "amsgrad", "adafactor", "lion", "adopt", "ademamix")),
        *((name, 0.05) for name in ("shampoo", "schedulefree_adamw", "schedulefree_sgd", "sam")),
        ("prodigy", 1.0),
    ],
)
def test_an_optimizer_takes_the_steps_of_its_source(source: str, lr: float) -> None:
    expected = np.array(list(getattr(sources, source)(START, lr)))
    found = trained(source, lr=lr)
    assert np.abs(found[-1] - START).max() > 1e-5, "it moves"
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("every", [10, 2])
def test_soap_takes_the_steps_of_its_source(every: int) -> None:
    found = trained("soap", lr=0.05, precondition_frequency=every)
    np.testing.assert_allclose(
        found, list(soap(START, 0.05, every)), rtol=1e-4, atol=1e-5
    )  # its QR is in single precision


def test_lbfgs_solves_a_quadratic_in_one_batch() -> None:
    found = trained("lbfgs", steps=3, lr=1.0)[-1]
    np.testing.assert_allclose(found, np.linalg.solve(LEFT, TARGET), atol=1e-4)


def orthogonalise(matrix: np.ndarray) -> np.ndarray:
    """Jordan et al.'s five Newton-Schulz iterations, in double precision (theirs are in bfloat16)."""
    x = matrix / np.linalg.norm(matrix)
    x = x.T if len(x) > x.shape[1] else x
    for _ in range(5):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x.T if len(matrix) > matrix.shape[1] else x


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_muon_orthogonalises_filters_as_rows_and_leaves_the_rest_to_adamw(layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Conv2d(4, 6, 3), nn.Flatten(), nn.Linear(96, 5), nn.Linear(5, 12))
    network.append(nn.Linear(12, 3))
    network.to(memory_format=layout)
    optimizer = make_optimizer_factory({"optim": node_of("muon", lr=0.02, adamw_lr=0.003, weight_decay=0.1)})(
        network.parameters()
    )
    hidden = [network[1].weight, network[3].weight, network[4].weight]  # two are wide, one is tall
    others = [p for p in network.parameters() if all(p is not h for h in hidden)]
    assert [set(map(id, group["params"])) for group in optimizer.param_groups] == [
        set(map(id, hidden)),
        set(map(id, others)),
    ]
    copies = [nn.Parameter(p.detach().clone()) for p in others]
    adamw = torch.optim.AdamW(copies, lr=0.003, betas=(0.9, 0.95), eps=1e-10, weight_decay=0.0)
    buffers: list[Any] = [0.0] * 3
    for _ in range(3):
        for p in network.parameters():
            p.grad = torch.randn_like(p)  # of full rank: rounding to bfloat16 makes noise of small singular values
        expected = []
        for k, weight in enumerate(hidden):
            w, g = (t.detach().numpy().reshape(len(weight), -1).astype(np.float64) for t in (weight, weight.grad))
            buffers[k] = 0.95 * buffers[k] + 0.05 * g
            step = orthogonalise(0.05 * g + 0.95 * buffers[k]) * np.sqrt(max(1, w.shape[0] / w.shape[1]))
            expected.append((w * (1 - 0.02 * 0.1), 0.02 * step))
        for copy, p in zip(copies, others, strict=True):
            copy.grad = p.grad
        adamw.step()
        optimizer.step()
        for weight, (w, step) in zip(hidden, expected, strict=True):
            moved = w - weight.detach().numpy().reshape(len(weight), -1)
            assert np.linalg.norm(moved - step) < 0.05 * np.linalg.norm(step)  # bfloat16 has 8 bits
        for copy, p in zip(copies, others, strict=True):
            assert torch.equal(copy, p)


@pytest.mark.parametrize("sizes", [(8, 1), (8, 4, 1)])
def test_muon_needs_a_layer_between_the_first_and_the_last(sizes: tuple[int, ...]) -> None:
    layers = [nn.Linear(a, b) for a, b in pairwise(sizes)]
    with pytest.raises(UserError, match=r"optim=muon trains the weights between .* or choose optim=adamw"):
        Muon(nn.Sequential(*layers).parameters(), lr=0.1, adamw_lr=0.1)


def test_sam_says_what_it_needs() -> None:
    with pytest.raises(UserError, match="evaluates the loss twice a step"):
        SAM([nn.Parameter(torch.zeros(1))], lr=0.1).step()


SAVED = [p.stem for p in sorted((ROOT / "conf" / "optim").glob("*.yaml")) if p.stem != "own"]


@pytest.mark.parametrize("name", SAVED)
def test_a_saved_state_goes_on_as_the_undisturbed_one(name: str) -> None:
    def make() -> tuple[nn.Module, Optimizer]:
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 1))
        rates = {key: 0.01 for key in ("lr", "adamw_lr") if key == "lr" or name == "muon"}
        return network, make_optimizer_factory({"optim": node_of(name, **rates)})(network.parameters())

    inputs = torch.randn(8, 6, 3, generator=torch.Generator().manual_seed(1))

    def train(network: nn.Module, optimizer: Optimizer, batches: torch.Tensor) -> None:
        for batch in batches:

            def closure(batch: torch.Tensor = batch) -> Any:
                optimizer.zero_grad()
                loss = (network(batch)[:, 0] - batch[:, 0].sin()).square().mean()
                loss.backward()
                return loss.detach()

            optimizer.step(closure)

    network, optimizer = make()
    train(network, optimizer, inputs[:4])
    stored = {"network": network.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save(stored, "state.pt")
    train(network, optimizer, inputs[4:])
    other, resumed = make()
    stored = torch.load("state.pt", weights_only=True)
    other.load_state_dict(stored["network"])
    resumed.load_state_dict(stored["optimizer"])
    train(other, resumed, inputs[4:])
    for one, two in zip(network.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)


def test_looking_at_the_average_changes_no_digit() -> None:
    first = trained("schedulefree_adamw", lr=0.05)
    weight = nn.Parameter(torch.tensor(START))
    optimizer = make_optimizer_factory({"optim": node_of("schedulefree_adamw", lr=0.05)})([weight])
    for _ in range(STEPS):
        weight.grad = torch.tensor(gradient_of(weight.detach().numpy()))
        optimizer.step()
    with show_averages([optimizer]):
        np.testing.assert_allclose(weight.detach().numpy(), first[-1], rtol=1e-12)
        shown = weight.detach().clone()
    assert not torch.equal(weight, shown)
    before = weight.detach().clone()
    with show_averages([optimizer]):
        pass
    assert torch.equal(weight, before)


@pytest.mark.parametrize(
    ("module", "name", "package"),
    [("schedulefree", "AdamWScheduleFree", "schedulefree"), ("pytorch_optimizer", "SOAP", "pytorch-optimizer")],
)
def test_what_is_not_installed_is_one_message(
    module: str, name: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match=f"^optim._target_: {module}.{name} needs .*: pip install {package}$"):
        make_optimizer_factory({"optim": {"_target_": f"{module}.{name}"}})


@pytest.mark.muon
@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("torch.optim.Muon", "only supports 2D parameters.*Choose optim=muon, which leaves biases"),
        ("torch.optim.SparseAdam", "dense gradients.*Choose optim=adam"),
    ],
)
def test_an_optimizer_that_cannot_take_all_parameters_is_refused(target: str, said: str) -> None:
    config = {"optim": {"_target_": target, "lr": 0.1}}
    with pytest.raises(UserError, match=f"^optim: {target} cannot train all parameters.*{said}"):
        check_optimizer(config, nn.Linear(2, 2))
    check_optimizer({"optim": {"_target_": "torch.optim.Rprop", "lr": 0.1}}, nn.Linear(2, 2))
    check_optimizer({"optim": {"_target_": "torch.optim.Muon", "lr": 0.1}}, nn.Linear(2, 2, bias=False))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "lbfgs"])  # keeps one state for the network
@pytest.mark.cases(99)
def test_a_checkpoint_of_a_convolution_is_taken_up(name: str, tmp_path: Path) -> None:
    """Filters are no matrices: each optimizer's averages of them pass as a resumed run checks them."""
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3), nn.Flatten(), nn.Linear(80, 2))
    rates = {"lr": 0.01} | ({"adamw_lr": 0.01} if name == "muon" else {})
    optimizer = make_optimizer_factory({"optim": node_of(name, **rates)})(list(network.parameters()))

    def closure() -> Any:
        optimizer.zero_grad()
        loss = network(torch.ones(2, 3, 8, 8)).square().mean()
        loss.backward()
        return loss.detach()

    optimizer.step(closure)
    again = make_optimizer_factory({"optim": node_of(name, **rates)})(list(network.parameters()))
    again.load_state_dict(optimizer.state_dict())
    resumed: Any = SimpleNamespace(optimizers=[again], global_step=1)
    Restoration(tmp_path).on_train_start(resumed, cast(Any, None))
