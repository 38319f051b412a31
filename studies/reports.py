"""What the three reports said: their tables, as they were printed, and single figures."""

from pathlib import Path

import pandas as pd

FOLDER = Path(__file__).with_name("reports")

# Activations and optimization, relu with Adam 1e-3.
MLP = {
    "best_val_acc": 0.8965,
    "best_epoch": 27,
    "final_train_loss": 0.0956,
    "epochs_to_90pct": 1,
    "early_layer_gradient": 0.000858,
    "stability_score": 0.9908,
}
# VGG6, gelu with SGD with momentum at 0.01, batch 128.
VGG6 = {"best_val_acc": 0.861, "final_train_acc": 0.90118, "final_train_loss": 0.28179, "final_val_acc": 0.8538,
        "final_val_loss": 0.43113}  # fmt: skip
# Concrete strength: mean squared errors.
BASELINE, DEPTH_16, DEPTH_128, FINAL_TEST = 288.60, 31.78, 283.09, 30.41


def mlp_curve() -> pd.Series:
    """Validation accuracy by epoch, a fraction."""
    frame = pd.read_csv(FOLDER / "fashion_mnist_relu_adam.csv", index_col="epoch")
    return frame["val_acc_percent"] / 100


def vgg6_runs() -> pd.DataFrame:
    """activation, optimizer, lr, batch_size, epochs of its 35 runs."""
    return pd.read_csv(FOLDER / "vgg6_runs.csv")


def concrete(which: str) -> pd.DataFrame:
    """The table of "architectures", "optimizers" or "schedulers"."""
    return pd.read_csv(FOLDER / f"concrete_{which}.csv")
