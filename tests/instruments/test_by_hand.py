"""What the instruments record, against a run made by hand: a plain loop, autograd, and numpy in double precision."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import as_dict, read_layers
from torch import nn

from paribus import record
from paribus.randomness import derive_seed
from paribus.run.build import build_data, build_network

pytestmark = pytest.mark.slow

Train = Callable[..., Path]
SHORT = ("model=regression", "trainer.max_epochs=3", "threads=1")
CADENCE = (
    "callbacks.gradients.every_n_steps=2",
    "callbacks.updates.every_n_steps=3",
    "callbacks.activations.probe_size=7",
)
LOSSES = {"torch.nn.MSELoss": nn.functional.mse_loss, "torch.nn.CrossEntropyLoss": nn.functional.cross_entropy}


def doubles(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().numpy().astype(float)


def by_hand(config: dict[str, Any]) -> tuple[dict[tuple, float], dict[str, int], nn.Module]:
    """The same run as a plain loop over a sequential network, with every quantity as its definition says it."""
    data = build_data(config)
    data.setup("fit")
    torch.manual_seed(derive_seed(config["seed"], "weights"))
    network = build_network(config, data)
    assert isinstance(network, nn.Sequential)
    optimizer = torch.optim.SGD(network.parameters(), lr=config["optim"]["lr"], momentum=config["optim"]["momentum"])
    instruments = config["callbacks"]
    values: dict[tuple, float] = {}
    depth: dict[str, int] = {}
    parameters = []
    for path, module in network.named_children():
        if isinstance(module, nn.Linear | nn.Conv2d):
            depth[path] = len(depth)
            parameters += [(path, "weight", module.weight), (path, "bias", module.bias)]

    def at_the_end_of(epoch: int) -> None:
        for path, tensor, p in parameters:
            w = doubles(p)
            values[epoch, path, tensor, "weight_mean"] = w.mean()
            values[epoch, path, tensor, "weight_std"] = w.std()
            values[epoch, path, tensor, "weight_norm"] = (w**2).sum() ** 0.5
            if epoch == 0:
                values[epoch, path, tensor, "size"] = w.size
        network.eval()
        y = data.get_first_inputs("val", instruments["activations"]["probe_size"])
        outputs: dict[str, Any] = {}
        path = ""
        with torch.no_grad():
            for name, module in network.named_children():
                y = module(y)
                path = name if name in depth else path
                if name in depth or name.startswith("activation"):
                    outputs[path] = (doubles(y), None if name in depth else module)
        for path, (a, activation) in outputs.items():
            values[epoch, path, "activation", "activation_mean"] = a.mean()
            values[epoch, path, "activation", "activation_std"] = a.std()
            values[epoch, path, "activation", "activation_rms"] = (a**2).mean() ** 0.5
            values[epoch, path, "activation", "activation_max"] = np.abs(a).max()
            if activation is not None:
                units = np.moveaxis(a, 1, 0).reshape(a.shape[1], -1)
                values[epoch, path, "activation", "dead_fraction"] = (units == 0).all(1).mean()
            if isinstance(activation, nn.Tanh):
                values[epoch, path, "activation", "saturated_fraction"] = (np.abs(a) > 0.97).mean()
            if isinstance(activation, nn.Sigmoid):
                values[epoch, path, "activation", "saturated_fraction"] = ((a < 0.03) | (a > 0.97)).mean()
        network.train()

    at_the_end_of(0)
    for epoch in range(config["trainer"]["max_epochs"]):
        torch.manual_seed(derive_seed(config["seed"], "training", epoch))
        device = type("", (), {"root_device": "cpu"})
        told = {"current_epoch": epoch, "strategy": device, "global_rank": 0, "world_size": 1, "overfit_batches": 0}
        data.trainer = type("Epoch", (), told)  # type: ignore[assignment]
        seen: dict[tuple, list[tuple[int, float]]] = {}
        sampled: dict[tuple, list[tuple[int, np.ndarray]]] = {}  # gradients
        batches = list(data.train_dataloader())
        for step, (x, y) in enumerate(batches):
            loss = LOSSES[config["loss"]["_target_"]](network(x), y)
            gradients = torch.autograd.grad(loss, [p for _, _, p in parameters], retain_graph=True)
            for (path, tensor, _), gradient in zip(parameters, gradients, strict=True):
                g = doubles(gradient)
                norm, every = (g**2).sum() ** 0.5, instruments["gradients"]["every_n_steps"]
                seen.setdefault((epoch + 1, path, tensor, "grad_norm"), []).append((len(x), norm))
                if step < every or step % every == 0:
                    found = [np.abs(g).mean(), g.std(), (g == 0).mean(), norm]
                    weight = len(x) * (1 if step < every else min(every, len(batches) - step))
                    sampled.setdefault((epoch + 1, path, tensor), []).append((weight, np.array(found)))
            before = [doubles(p).copy() for _, _, p in parameters]
            optimizer.zero_grad()
            loss.backward()
            if config["trainer"]["gradient_clip_val"]:
                nn.utils.clip_grad_norm_(network.parameters(), config["trainer"]["gradient_clip_val"])
            optimizer.step()
            if step % instruments["updates"]["every_n_steps"] == 0:
                for (path, tensor, p), old in zip(parameters, before, strict=True):
                    size = np.linalg.norm(old.ravel())
                    if size:
                        ratio = np.linalg.norm((doubles(p) - old).ravel()) / size
                        seen.setdefault((epoch + 1, path, tensor, "update_ratio"), []).append((len(x), ratio))
        for key, pairs in seen.items():
            values[key] = sum(n * v for n, v in pairs) / sum(n for n, _ in pairs)
        for owner, rows in sampled.items():
            mean_abs, std, zero, norm = sum(n * row for n, row in rows) / sum(n for n, _ in rows)
            ratio = values[*owner, "grad_norm"] / norm if norm else 1.0
            estimates = {"grad_mean_abs": mean_abs * ratio, "grad_std": std * ratio, "grad_zero_fraction": zero}
            values |= {(*owner, quantity): value for quantity, value in estimates.items()}
        at_the_end_of(epoch + 1)
    return values, depth, network


@pytest.mark.parametrize(
    "overrides",
    [
        ("model=regression", "model.hidden=[16,8]", "activation=tanh", "trainer.gradient_clip_val=0.5"),
        ("model=regression", "model.width=6", "model.depth=20", "model.init=kaiming", "trainer.gradient_clip_val=0.1"),
        ("model=mlp", "activation=sigmoid", "model.hidden=[8,300]", "model.dropout=0.2", "model.norm=batch"),
        ("model=vgg6", "model.width_multiplier=0.06", "model.dropout=0", "data.verify=false", "data.val_size=20"),
    ],
    ids=["tanh-clipped", "deep", "mlp", "vgg6"],
)  # fmt: skip
@pytest.mark.cases(9)
def test_every_quantity_is_what_its_definition_says(
    train: Train, fashion_root: Path, cifar_root: Path, overrides: tuple
) -> None:
    if "model=mlp" in overrides:
        overrides = (*overrides, f"data.root={fashion_root}", "data.val_size=100")
    if "model=vgg6" in overrides:
        overrides = (*overrides, f"data.root={cifar_root}")
    directory = train(*overrides, *CADENCE, "optim=sgd_momentum", "optim.lr=0.01", "trainer.max_epochs=2", "threads=1")
    torch.set_num_threads(1)
    frame = read_layers(directory)
    measured = as_dict(frame)
    expected, depth, network = by_hand(record.read_summary(directory)["config"])
    # where every bias begins at 0 and no later step is sampled there is no ratio to expect
    assert {key for key, value in measured.items() if not np.isnan(value)} == set(expected)
    scale = frame.groupby("quantity", observed=True).value.apply(lambda v: v.abs().max())
    for key, value in expected.items():
        assert measured[key] == pytest.approx(value, rel=2e-4, abs=1e-6 * scale[key[3]]), key
    assert dict(zip(frame.layer, frame.depth, strict=True)) == depth
    # and the loop by hand was the same run
    last = torch.load(directory / record.LAST, weights_only=True)["state_dict"]
    for name, tensor in network.state_dict().items():
        assert torch.allclose(last[f"network.{name}"], tensor, rtol=1e-4, atol=1e-6), name
