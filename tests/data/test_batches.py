import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from paribus.data.batches import Batches, CropFlip, make_augmentation
from paribus.errors import UserError


def numbered(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.arange(n).float().view(n, 1), torch.arange(n)


@given(st.integers(1, 50), st.integers(1, 60), st.integers(0, 5))
def test_an_epoch_is_every_sample_once_in_an_order_from_the_generator(n: int, size: int, seed: int) -> None:
    batches = Batches(*numbered(n), size, generator=lambda: torch.Generator().manual_seed(seed))
    first, second = list(batches), list(batches)
    assert len(first) == len(batches) == -(-n // size)
    assert all(len(x) == size for x, _ in first[:-1])
    order = torch.cat([y for _, y in first])
    assert sorted(order.tolist()) == list(range(n))
    assert torch.equal(order, torch.randperm(n, generator=torch.Generator().manual_seed(seed)))
    assert torch.equal(torch.cat([x for x, _ in first]).flatten(), order.float())  # inputs stay with their targets
    assert torch.equal(order, torch.cat([y for _, y in second]))


def test_without_a_generator_samples_come_in_order() -> None:
    batches = list(Batches(*numbered(5), 2))
    assert [y.tolist() for _, y in batches] == [[0, 1], [2, 3], [4]]


def test_prepare_sees_the_raw_batch() -> None:
    (inputs, _), *_ = Batches(
        torch.full((2, 1), 7, dtype=torch.uint8), torch.zeros(2), 2, prepare=lambda x: x.float() / 2
    )
    assert inputs.tolist() == [[3.5], [3.5]]


@pytest.mark.parametrize(("fill", "mode"), [("zeros", "constant"), ("reflect", "reflect")])
@given(st.integers(0, 1000), st.sampled_from([(1, 5, 7), (3, 8, 8)]), st.sampled_from([torch.uint8, torch.float32]))
def test_each_image_is_shifted_and_mirrored_as_drawn(
    fill: str, mode: str, seed: int, shape: tuple[int, int, int], dtype: torch.dtype
) -> None:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(256, (6, *shape), generator=generator).to(dtype)
    augment = CropFlip(padding=2, fill=fill)
    drawn = augment.draw(6, generator)
    result = augment(images, drawn)
    assert result.dtype == dtype
    _, height, width = shape
    for image, (top, left, mirror), new in zip(images, drawn.tolist(), result, strict=True):
        padded = F.pad(image.float(), (2, 2, 2, 2), mode=mode).to(dtype)
        expected = padded[:, top : top + height, left : left + width]
        assert torch.equal(new, expected.flip(2) if mirror else expected)


def test_all_shifts_and_both_sides_are_drawn_evenly() -> None:
    drawn = CropFlip(padding=4).draw(90_000, torch.Generator().manual_seed(0))
    for column, values in zip(drawn.T, (9, 9, 2), strict=True):
        counts = torch.bincount(column)
        assert len(counts) == values
        # each count is binomial: 5 standard deviations around its mean
        expected = 90_000 / values
        assert ((counts - expected).abs() < 5 * (expected * (1 - 1 / values)) ** 0.5).all()


def test_augmentation_follows_the_epochs_generator() -> None:
    images, labels = torch.randint(256, (8, 3, 8, 8), dtype=torch.uint8), torch.arange(8)
    seeds = iter([1, 1, 2])
    batches = Batches(images, labels, 3, lambda: torch.Generator().manual_seed(next(seeds)), CropFlip(4))
    first, again, other = (torch.cat([x for x, _ in batches]) for _ in range(3))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("size", [1, 3, 8])
def test_augmented_images_do_not_depend_on_the_batch_size(size: int) -> None:
    images, labels = torch.randint(256, (8, 3, 8, 8), dtype=torch.uint8), torch.arange(8)

    def epoch(batch_size: int) -> torch.Tensor:
        return torch.cat(
            [x for x, _ in Batches(images, labels, batch_size, lambda: torch.Generator().manual_seed(3), CropFlip(4))]
        )

    assert torch.equal(epoch(size), epoch(8))


def test_flips_change_what_is_mirrored_and_not_the_shifts() -> None:
    drawn = {flip: CropFlip(4, flip).draw(50, torch.Generator().manual_seed(1)) for flip in ("random", "none")}
    assert torch.equal(drawn["random"][:, :2], drawn["none"][:, :2])
    assert drawn["random"][:, 2].any() and not drawn["none"][:, 2].any()


@pytest.mark.parametrize(("arguments", "said"), [
    ((True, 8, "random", "zeros"), "data.shift is 8; images of 8 x 9 pixels are shifted by up to 7"),
    ((True, None, "random", "reflekt"), "Did you mean 'reflect'"),
    ((True, None, "alternate", "zeros"), "Did you mean 'alternating'"),
    ((False, None, "alternating", "zeros"), "training images are not augmented. Set data.augment=true"),
])  # fmt: skip
def test_an_augmentation_that_cannot_be_is_refused(arguments: tuple, said: str) -> None:
    with pytest.raises(UserError, match=said):
        make_augmentation(*arguments, padding=2, in_shape=(3, 8, 9))
