"""Which optimizer is better, each with its learning rate tuned on the same budget and confirmed on fresh seeds."""

from studies.page import Material, Section, made, told


def concrete(m: Material) -> Section:
    """Which optimizer, each tuned on the same budget?"""
    return _quote(m, "concrete_tuned")


def fashion_mnist(m: Material) -> Section:
    """Which optimizer, each tuned on the same budget, after three epochs?"""
    return _quote(m, "mlp_tuned")


def vgg6(m: Material) -> Section:
    """Which optimizer, each tuned on the same budget, on a stand-in?"""
    return _quote(m, "vgg6_tuned_standin")


def _quote(m: Material, name: str) -> Section:
    comparison = m.comparison(name)
    text = (
        "Budgets are equal in epochs, not in time: docs/optimizers_and_schedules.md says what an epoch of each takes."
    )
    picture = m.differences(name, comparison, "optim")
    return Section([name], [made(comparison), told(comparison), picture, text])
