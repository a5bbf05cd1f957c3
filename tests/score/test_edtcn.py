"""ED-TCN: its shape, its padding, and that it learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lcdc_extract.labels import IntArray
from lcdc_extract.score.edtcn import EDTCN, FeatureArray, normalized_relu, predict, train

CPU = torch.device("cpu")
Videos = list[tuple[FeatureArray, IntArray]]


def network(num_features: int = 6, num_classes: int = 3) -> EDTCN:
    torch.manual_seed(0)
    return EDTCN(num_features, num_classes).eval()


def toy_videos(count: int, seed: int, classes: int = 3) -> Videos:
    """Segments of 20 to 40 rows; a row is its class's prototype in noise."""
    prototypes = np.random.default_rng(0).normal(size=(classes, 16))
    generator = np.random.default_rng(seed)
    videos = []
    for _ in range(count):
        runs = [np.full(generator.integers(20, 40), generator.integers(classes)) for _ in range(8)]
        labels = np.concatenate(runs).astype(np.int64)
        noise = generator.normal(size=(len(labels), 16)) / 2
        videos.append(((prototypes[labels] + noise).astype(np.float32), labels))
    return videos


def test_number_of_parameters() -> None:
    """A layer of F filters over 25 rows of C channels has 25 C F + F numbers."""
    expected = (
        (25 * 1024 * 64 + 64)  # encoder: 1,638,464
        + (25 * 64 * 96 + 96)  # 153,696
        + (25 * 96 * 96 + 96)  # decoder: 230,496
        + (25 * 96 * 64 + 64)  # 153,664
        + (64 * 18 + 18)  # classes of 50 Salads: 1,170
    )
    assert expected == 2_177_490
    assert sum(weight.numel() for weight in EDTCN(1024, 18).parameters()) == expected


def test_normalized_relu() -> None:
    x = np.random.default_rng(0).normal(size=(2, 5, 7)).astype(np.float32)
    x[0, :, 3] = -1  # no channel is positive
    positive = np.where(x > 0, x, 0)
    expected = np.stack([[row / (row.max() + 1e-5) for row in video.T] for video in positive]).transpose(0, 2, 1)
    np.testing.assert_allclose(normalized_relu(torch.from_numpy(x)).numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("length", [8, 5])
def test_against_numpy(length: int) -> None:
    """The whole network, written once more with loops over rows; what is behind the end counts as zero."""
    model = network()
    x = np.random.default_rng(1).normal(size=(length, 6))

    def layer(rows: np.ndarray, convolution: torch.nn.Module) -> np.ndarray:
        kernel, bias = (weight.detach().double().numpy() for weight in convolution.parameters())
        padded = np.pad(rows, ((12, 12), (0, 0)))
        sums = [np.einsum("ock,kc->o", kernel, padded[t : t + 25]) + bias for t in range(len(rows))]
        positive = np.maximum(sums, 0)
        return positive / (positive.max(axis=1, keepdims=True) + 1e-5)

    rows, lengths = x, []
    for convolution in model.encoder:
        lengths.append(len(rows))
        rows = np.pad(layer(rows, convolution), ((0, len(rows) % 2), (0, 0)))
        rows = np.maximum(rows[0::2], rows[1::2])
    assert rows.shape == (2, 96)
    for convolution in model.decoder:
        rows = layer(np.repeat(rows, 2, axis=0)[: lengths.pop()], convolution)
    kernel, bias = (weight.detach().numpy() for weight in model.classifier.parameters())
    expected = rows @ kernel[:, :, 0].T + bias
    scores = model(torch.from_numpy(x.T[None]).float(), torch.tensor([length]))
    np.testing.assert_allclose(scores[0].detach().numpy().T, expected, atol=1e-5)


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 30, 33])
def test_a_score_for_every_row(rows: int) -> None:
    scores = network()(torch.randn(2, 6, rows), torch.tensor([rows, 1]))
    assert scores.shape == (2, 3, rows)
    assert scores.isfinite().all()


def test_how_far_a_row_sees() -> None:
    """12 rows to each side, then 12 pairs, again 12 pairs and again 12 rows, and what pooling rounds to."""
    model, length = network(), torch.tensor([300])
    x = torch.randn(1, 6, 300)
    before = model(x, length)
    x[:, :, 150] += 1
    changed = (model(x, length) - before).abs().amax(dim=(0, 1)).nonzero()[:, 0]
    reach = 12 + 2 * 12 + 2 * 12 + 12
    assert reach - 4 <= 150 - int(changed.min()) <= reach + 8
    assert reach - 4 <= int(changed.max()) - 150 <= reach + 8


@pytest.mark.parametrize("length", [1, 5, 6, 7, 8, 21])
def test_padding_changes_nothing(length: int) -> None:
    model = network()
    video = torch.randn(1, 6, length)
    alone = model(video, torch.tensor([length]))
    batch = torch.full((2, 6, 64), 100.0)
    batch[0, :, :length] = video[0]
    together = model(batch, torch.tensor([length, 64]))
    torch.testing.assert_close(together[:1, :, :length], alone, rtol=1e-4, atol=1e-5)


def test_it_learns_from_few_videos() -> None:
    model = train(toy_videos(16, seed=1), 3, epochs=20, seed=0, device=CPU)
    test = toy_videos(4, seed=2)
    correct = np.concatenate([predict(model, features) == labels for features, labels in test])
    assert correct.mean() > 0.95


def test_the_seed_decides() -> None:
    videos = toy_videos(3, seed=1)
    networks = []
    for global_seed, seed in ((5, 0), (6, 0), (6, 1)):
        torch.manual_seed(global_seed)
        state = torch.get_rng_state()
        networks.append(train(videos, 3, epochs=2, seed=seed, device=CPU).state_dict())
        assert torch.equal(torch.get_rng_state(), state)
    first, again, other = networks
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["classifier.weight"], other["classifier.weight"])


def test_whole_channels_are_dropped() -> None:
    model = network().train()
    dropped = model.dropout(torch.ones(1, 1000, 9))[0]
    assert ((dropped == 0).all(dim=1) | (dropped > 0).all(dim=1)).all()
    assert (dropped[:, 0] == 0).float().mean() == pytest.approx(0.3, abs=0.06)


@pytest.mark.gpu
def test_the_gpu_agrees_and_repeats_itself() -> None:
    videos, cuda = toy_videos(3, seed=1), torch.device("cuda")
    first, again = (train(videos, 3, epochs=3, seed=0, device=cuda).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    model = network(16)
    on_cpu = predict(model, videos[0][0])
    np.testing.assert_array_equal(predict(model.to(cuda), videos[0][0]), on_cpu)
