"""Two examples of Lightning's own, as small as they are: the MNIST autoencoder and the basic GAN; and their data.

Nothing here knows of Paribus. Images are drawn instead of downloaded: a bright bar in each, whose place is its class.
"""

from collections.abc import Iterator

import lightning as L
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, IterableDataset, random_split

SIZE = 8


class Bars(Dataset):
    """Images (1, 8, 8) of a bright row among noise, with the number of the row as the class."""

    def __init__(self, n: int):
        generator = torch.Generator().manual_seed(n)
        self.labels = torch.arange(n) % SIZE
        self.images = 0.3 * torch.rand(n, 1, SIZE, SIZE, generator=generator)
        self.images[torch.arange(n), 0, self.labels] += 0.7

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        return self.images[i], self.labels[i]


class BarsDataModule(L.LightningDataModule):
    def __init__(self, batch_size: int = 16, num_workers: int = 0):
        super().__init__()
        self.batch_size = batch_size
        self.num_workers = num_workers

    def setup(self, stage: str | None = None) -> None:
        self.train, self.val = random_split(Bars(96), [64, 32])
        self.test = Bars(40)

    def train_dataloader(self) -> DataLoader:
        return DataLoader(self.train, self.batch_size, shuffle=True, num_workers=self.num_workers)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.val, self.batch_size)

    def test_dataloader(self) -> DataLoader:
        return DataLoader(self.test, self.batch_size)


class DictBars(Bars):
    def __getitem__(self, i: int) -> dict[str, Tensor]:  # type: ignore[override]
        return {"image": self.images[i], "label": self.labels[i]}


class Wide(BarsDataModule):
    """Targets of shape (n, 1)."""

    def setup(self, stage: str | None = None) -> None:
        super().setup(stage)
        for part in (self.train, self.val):
            part.dataset.labels = part.dataset.labels.float().view(-1, 1)


class DictBarsDataModule(BarsDataModule):
    def setup(self, stage: str | None = None) -> None:
        self.train, self.val = random_split(DictBars(96), [64, 32])
        self.test = DictBars(40)


def to_pair(batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Turn a dictionary into inputs and targets."""
    return batch["image"], batch["label"]


class LitAutoEncoder(L.LightningModule):
    """lightning.ai, examples/pytorch/basics/autoencoder.py."""

    def __init__(self, hidden_dim: int = 16, learning_rate: float = 1e-2):
        super().__init__()
        self.save_hyperparameters()
        self.encoder = nn.Sequential(nn.Linear(SIZE * SIZE, hidden_dim), nn.ReLU(), nn.Linear(hidden_dim, 3))
        self.decoder = nn.Sequential(nn.Linear(3, hidden_dim), nn.ReLU(), nn.Linear(hidden_dim, SIZE * SIZE))

    def forward(self, x: Tensor) -> Tensor:
        z = self.encoder(x.view(x.size(0), -1))
        return self.decoder(z)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        return self._common_step(batch, "train")

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self._common_step(batch, "val")

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self._common_step(batch, "test")

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.hparams.learning_rate)

    def _common_step(self, batch: tuple[Tensor, Tensor], stage: str) -> Tensor:
        x = batch[0].view(batch[0].size(0), -1)
        loss = F.mse_loss(self.decoder(self.encoder(x)), x)
        self.log(f"{stage}_loss", loss, on_step=stage == "train", on_epoch=stage != "train")
        return loss


class Generator(nn.Module):
    def __init__(self, latent_dim: int):
        super().__init__()
        self.model = nn.Sequential(
            nn.Linear(latent_dim, 16), nn.LeakyReLU(0.2), nn.Linear(16, 32), nn.BatchNorm1d(32, 0.8), nn.LeakyReLU(0.2),
            nn.Linear(32, SIZE * SIZE), nn.Tanh(),
        )  # fmt: skip

    def forward(self, z: Tensor) -> Tensor:
        return self.model(z).view(z.size(0), 1, SIZE, SIZE)


class Discriminator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Sequential(nn.Linear(SIZE * SIZE, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1), nn.Sigmoid())

    def forward(self, img: Tensor) -> Tensor:
        return self.model(img.view(img.size(0), -1))


class GAN(L.LightningModule):
    """lightning.ai, notebooks/lightning_examples/basic-gan: two optimizers, stepped by the module itself."""

    def __init__(self, latent_dim: int = 8, lr: float = 2e-3, b1: float = 0.5, b2: float = 0.999):
        super().__init__()
        self.save_hyperparameters()
        self.automatic_optimization = False
        self.generator = Generator(latent_dim)
        self.discriminator = Discriminator()
        self.validation_z = torch.randn(4, latent_dim)

    def forward(self, z: Tensor) -> Tensor:
        return self.generator(z)

    def adversarial_loss(self, y_hat: Tensor, y: Tensor) -> Tensor:
        return F.binary_cross_entropy(y_hat, y)

    def training_step(self, batch: tuple[Tensor, Tensor]) -> None:
        imgs, _ = batch
        optimizer_g, optimizer_d = self.optimizers()
        z = torch.randn(imgs.shape[0], self.hparams.latent_dim).type_as(imgs)

        self.toggle_optimizer(optimizer_g)
        valid = torch.ones(imgs.size(0), 1).type_as(imgs)
        g_loss = self.adversarial_loss(self.discriminator(self(z)), valid)
        self.log("g_loss", g_loss, prog_bar=True)
        self.manual_backward(g_loss)
        optimizer_g.step()
        optimizer_g.zero_grad()
        self.untoggle_optimizer(optimizer_g)

        self.toggle_optimizer(optimizer_d)
        real_loss = self.adversarial_loss(self.discriminator(imgs), valid)
        fake = torch.zeros(imgs.size(0), 1).type_as(imgs)
        fake_loss = self.adversarial_loss(self.discriminator(self(z).detach()), fake)
        d_loss = (real_loss + fake_loss) / 2
        self.log("d_loss", d_loss, prog_bar=True)
        self.manual_backward(d_loss)
        optimizer_d.step()
        optimizer_d.zero_grad()
        self.untoggle_optimizer(optimizer_d)

    def configure_optimizers(self) -> tuple[list[torch.optim.Optimizer], list]:
        lr, betas = self.hparams.lr, (self.hparams.b1, self.hparams.b2)
        opt_g = torch.optim.Adam(self.generator.parameters(), lr=lr, betas=betas)
        opt_d = torch.optim.Adam(self.discriminator.parameters(), lr=lr, betas=betas)
        return [opt_g, opt_d], []

    def on_train_epoch_end(self) -> None:
        sample_imgs = self(self.validation_z.type_as(self.generator.model[0].weight))
        if self.logger is not None:
            self.logger.experiment.add_image("generated", sample_imgs[0], self.current_epoch)


class Broken(LitAutoEncoder):
    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        return self.encoder(batch[0])  # images, where the encoder takes rows


class Mute(LitAutoEncoder):
    """Logs nothing at all."""

    def _common_step(self, batch: tuple[Tensor, Tensor], stage: str) -> Tensor:
        x = batch[0].view(batch[0].size(0), -1)
        return F.mse_loss(self(x), x)


class Plateau(LitAutoEncoder):
    """Lowers its learning rate after each epoch that brings less than 90 %."""

    def configure_optimizers(self) -> dict:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.5)
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, threshold=0.9)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "monitor": "val_loss"}}


class StopOnce(L.Callback):
    """Interrupts the first attempt as its second epoch begins."""

    stopped = False

    def on_train_epoch_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if trainer.current_epoch == 1 and not StopOnce.stopped:
            StopOnce.stopped = True
            raise KeyboardInterrupt


class LitClassifier(L.LightningModule):
    """A module that takes what Paribus gives a network: shapes and activation."""

    def __init__(self, in_shape: tuple[int, ...], out_features: int, activation: type[nn.Module], units: int = 8):
        super().__init__()
        n = torch.Size(in_shape).numel()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(n, units), activation(), nn.Linear(units, out_features))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> dict[str, Tensor]:
        loss = F.cross_entropy(self(batch[0]), batch[1])
        self.log("train/acc", (self(batch[0]).argmax(1) == batch[1]).float().mean(), on_step=True, on_epoch=True)
        return {"loss": loss}

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        output = self(batch[0])
        self.log_dict(
            {"val/loss": F.cross_entropy(output, batch[1]), "val/f1": (output.argmax(1) == batch[1]).float().mean()}
        )

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Stream(IterableDataset):
    """The same samples one after the other, of which nobody knows the number."""

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        bars = Bars(64)
        return (bars[i] for i in range(64))


class StreamDataModule(BarsDataModule):
    num_classes = SIZE

    def train_dataloader(self) -> DataLoader:
        return DataLoader(Stream(), self.batch_size)
