"""The steps of optimizers, written in numpy from the papers: an oracle for those of conf/optim/."""

from collections.abc import Callable, Iterator

import numpy as np

Steps = Iterator[np.ndarray]

RANDOM = np.random.default_rng(0)
LEFT, TARGET, START = RANDOM.normal(size=(4, 4)) / 2 + np.eye(4), RANDOM.normal(size=(4, 3)), RANDOM.normal(size=(4, 3))
STEPS = 12


def gradient_of(w: np.ndarray) -> np.ndarray:
    """The gradient of |LEFT w - TARGET|^2 / 2."""
    return LEFT.T @ (LEFT @ w - TARGET)


def averages(betas: tuple[float, float], w: np.ndarray) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    m, v = np.zeros_like(w), np.zeros_like(w)

    def update(g: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        nonlocal m, v
        m, v = betas[0] * m + (1 - betas[0]) * g, betas[1] * v + (1 - betas[1]) * g * g
        return m, v

    return update


def radam(w: np.ndarray, lr: float) -> Steps:
    b1, b2, update = 0.9, 0.999, averages((0.9, 0.999), w)
    most = 2 / (1 - b2) - 1
    for t in range(1, STEPS + 1):
        m, v = update(gradient_of(w))
        length = most - 2 * t * b2**t / (1 - b2**t)
        step = m / (1 - b1**t)
        if length > 5:
            r = np.sqrt((length - 4) * (length - 2) * most / ((most - 4) * (most - 2) * length))
            step = step * r * np.sqrt(1 - b2**t) / (np.sqrt(v) + 1e-8)
        w = w - lr * step
        yield w


def nadamw(w: np.ndarray, lr: float) -> Steps:
    b1, b2, update, product = 0.9, 0.999, averages((0.9, 0.999), w), 1.0
    for t in range(1, STEPS + 1):
        g = gradient_of(w)
        m, v = update(g)
        now, following = (b1 * (1 - 0.5 * 0.96 ** (k * 0.004)) for k in (t, t + 1))
        product *= now
        step = following * m / (1 - product * following) + (1 - now) * g / (1 - product)
        w = w * (1 - lr * 0.01) - lr * step / (np.sqrt(v / (1 - b2**t)) + 1e-8)
        yield w


def adamax(w: np.ndarray, lr: float) -> Steps:
    m, u = np.zeros_like(w), np.zeros_like(w)
    for t in range(1, STEPS + 1):
        g = gradient_of(w)
        m, u = 0.9 * m + 0.1 * g, np.maximum(0.999 * u, np.abs(g) + 1e-8)
        w = w - lr / (1 - 0.9**t) * m / u
        yield w


def amsgrad(w: np.ndarray, lr: float) -> Steps:
    update, largest = averages((0.9, 0.999), w), np.zeros_like(w)
    for t in range(1, STEPS + 1):
        m, v = update(gradient_of(w))
        largest = np.maximum(largest, v)
        w = w - lr * m / (1 - 0.9**t) / (np.sqrt(largest / (1 - 0.999**t)) + 1e-8)
        yield w


def adafactor(w: np.ndarray, lr: float) -> Steps:
    rows, columns = np.zeros((len(w), 1)), np.zeros((1, w.shape[1]))
    for t in range(1, STEPS + 1):
        g, new = gradient_of(w), t**-0.8
        rows += new * ((g * g).mean(1, keepdims=True) - rows)
        columns += new * ((g * g).mean(0, keepdims=True) - columns)
        step = g / np.sqrt(rows @ columns / rows.mean())
        step /= max(1, np.sqrt((step**2).mean()))
        w = w - max(1e-3, np.sqrt((w**2).mean())) * min(lr, t**-0.5) * step
        yield w


def lion(w: np.ndarray, lr: float) -> Steps:
    m = np.zeros_like(w)
    for _ in range(STEPS):
        g = gradient_of(w)
        w = w - lr * np.sign(0.9 * m + 0.1 * g)
        m = 0.99 * m + 0.01 * g
        yield w


def adopt(w: np.ndarray, lr: float) -> Steps:
    m, v = np.zeros_like(w), np.zeros_like(w)
    for t in range(1, STEPS + 1):
        g = gradient_of(w)
        if t == 1:
            v = g * g
        else:
            normed = np.clip(g / np.maximum(np.sqrt(v), 1e-6), -(t**0.25), t**0.25)
            m = 0.9 * m + 0.1 * normed
            w = w - lr * m
            v = 0.9999 * v + 0.0001 * g * g
        yield w


def ademamix(w: np.ndarray, lr: float) -> Steps:
    update, slow = averages((0.9, 0.999), w), np.zeros_like(w)
    for t in range(1, STEPS + 1):
        g = gradient_of(w)
        m, v = update(g)
        slow = 0.9999 * slow + 0.0001 * g
        w = w - lr * (m / (1 - 0.9**t) + 5 * slow) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        yield w


def prodigy(w: np.ndarray, lr: float) -> Steps:
    start, d, r, s = w, 1e-6, 0.0, np.zeros_like(w)
    m, v, b3 = np.zeros_like(w), np.zeros_like(w), np.sqrt(0.999)
    for _ in range(STEPS):
        g = gradient_of(w)
        r = b3 * r + d / 1e-6 * d * lr * (g * (start - w)).sum()
        s = b3 * s + d / 1e-6 * d * lr * g
        m, v = 0.9 * m + 0.1 * d * g, 0.999 * v + 0.001 * d * d * g * g
        now, d = d, max(d, r / np.abs(s).sum())
        w = w - now * lr * m / (np.sqrt(v) + d * 1e-8)
        yield w


def power(matrix: np.ndarray, exponent: float) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    return vectors @ np.diag(values**exponent) @ vectors.T


def shampoo(w: np.ndarray, lr: float) -> Steps:
    rows, columns = (1e-6 * np.eye(n) for n in w.shape)
    for _ in range(STEPS):
        g = gradient_of(w)
        rows, columns = rows + g @ g.T, columns + g.T @ g
        w = w - lr * power(rows, -1 / 4) @ g @ power(columns, -1 / 4)
        yield w


def soap(w: np.ndarray, lr: float, every: int = 10) -> Steps:
    """Vyas et al., algorithm 3; the bases are refined by one power iteration, sorted by estimated eigenvalues."""
    g = gradient_of(w)
    sums = [0.05 * g @ g.T, 0.05 * g.T @ g]
    bases = [np.linalg.eigh(matrix)[1][:, ::-1] for matrix in sums]
    m, v = np.zeros_like(w), np.zeros_like(w)
    yield w
    for t in range(1, STEPS):
        g = gradient_of(w)
        left, right = bases
        m, v = 0.95 * m + 0.05 * g, 0.95 * v + 0.05 * (left.T @ g @ right) ** 2
        step = left @ ((left.T @ m @ right) / (np.sqrt(v) + 1e-8)) @ right.T
        w = (w - lr * np.sqrt(1 - 0.95**t) / (1 - 0.95**t) * step) * (1 - lr * 0.01)
        sums = [0.95 * a + 0.05 * b for a, b in zip(sums, (g @ g.T, g.T @ g), strict=True)]
        if t % every == 0:
            for axis, (matrix, basis) in enumerate(zip(sums, bases, strict=True)):
                order = np.argsort(-np.diag(basis.T @ matrix @ basis))
                v = np.take(v, order, axis)
                bases[axis] = np.linalg.qr((matrix @ basis)[:, order])[0]
        yield w


def schedulefree_adamw(w: np.ndarray, lr: float) -> Steps:
    z, x, v = w, w, np.zeros_like(w)
    for t in range(1, STEPS + 1):
        g = gradient_of(0.1 * z + 0.9 * x)
        v = 0.999 * v + 0.001 * g * g
        z = z - lr * g / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        x = (1 - 1 / t) * x + z / t
        yield x


def schedulefree_sgd(w: np.ndarray, lr: float) -> Steps:
    z, x = w, w
    for t in range(1, STEPS + 1):
        z = z - lr * gradient_of(0.1 * z + 0.9 * x)
        x = (1 - 1 / t) * x + z / t
        yield x


def sam(w: np.ndarray, lr: float) -> Steps:
    momentum = np.zeros_like(w)
    for _ in range(STEPS):
        g = gradient_of(w)
        momentum = 0.9 * momentum + gradient_of(w + 0.05 * g / np.linalg.norm(g))
        w = w - lr * momentum
        yield w
