"""Where the noise of a result comes from: the seeds of split, initial weights and order of the batches, crossed."""

from multirun_analysis.report.documents import markdown
from multirun_analysis.report.noise import noise_table
from studies.page import Material, Section, made


def concrete(m: Material) -> Section:
    """Where does the noise come from?"""
    return _write_budget(m, "concrete_noise")


def fashion_mnist(m: Material) -> Section:
    """Where does the noise come from, after five epochs of 10,000 images?"""
    return _write_budget(m, "mlp_noise")


def _write_budget(m: Material, name: str) -> Section:
    c = m.comparison(name)
    return Section([name], [made(c), markdown(noise_table(c))])
