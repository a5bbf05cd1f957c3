"""ED-TCN, the temporal segmentation network of Lea, Flynn, Vidal, Reiter and Hager (CVPR 2017, arXiv 1611.05267).

Layers and training settings are those of the authors' released code for 50 Salads and GTEA: 64 and 96 filters over 25
rows, RMSprop with a learning rate of 0.001, 200 epochs of batches of 8 whole videos; features are taken as they are,
without normalisation. One thing differs: there, shorter videos are filled up with -1, which the convolutions see. Here
what lies behind a video's end is zero in every layer, so a video's result does not depend on the others in its batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from lcdc_extract.labels import IntArray

FILTERS = (64, 96)
"""Of the encoder's layers; the decoder has them in reverse order."""
KERNEL_SIZE = 25
DROPOUT = 0.3
BATCH_SIZE = 8
LEARNING_RATE, DECAY, EPSILON = 1e-3, 0.9, 1e-8
"""RMSprop as it was when the paper was written: rate, decay of the mean square, addition to its root."""

FeatureArray = npt.NDArray[np.float32]


def normalized_relu(x: Tensor) -> Tensor:
    """The paper's normalized ReLU: divided by each row's largest channel plus 1e-5. (N, C, T) -> (N, C, T)."""
    positive = functional.relu(x)
    return positive / (positive.amax(dim=1, keepdim=True) + 1e-5)


class EDTCN(nn.Module):
    """Encoder and decoder of two layers each: features of whole videos -> one score per class and row."""

    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__()
        sizes = [num_features, *FILTERS, *reversed(FILTERS)]
        layers = [nn.Conv1d(before, after, KERNEL_SIZE, padding="same") for before, after in pairwise(sizes)]
        self.encoder, self.decoder = nn.ModuleList(layers[: len(FILTERS)]), nn.ModuleList(layers[len(FILTERS) :])
        self.dropout = nn.Dropout1d(DROPOUT)  # whole channels
        self.classifier = nn.Conv1d(sizes[-1], num_classes, 1)  # the same linear layer for every row
        for layer in (*layers, self.classifier):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Features (N, D, T), rows that belong to each video (N,) -> scores before the softmax (N, classes, T).

        What `features` holds behind a video's length has no influence; what the scores hold there means nothing.
        """
        rows, depth = features.shape[2], len(FILTERS)
        x = functional.pad(features, (0, -rows % 2**depth))  # so that every pooling finds pairs
        for level, convolution in enumerate(self.encoder):
            x = normalized_relu(self.dropout(convolution(_without_padding(x, lengths, level))))
            x = functional.max_pool1d(_without_padding(x, lengths, level), 2)
        for level, convolution in zip(reversed(range(depth)), self.decoder, strict=True):
            x = _twice(x)
            x = normalized_relu(self.dropout(convolution(_without_padding(x, lengths, level))))
        scores: Tensor = self.classifier(x)
        return scores[:, :, :rows]


def train(
    videos: Sequence[tuple[FeatureArray, IntArray]],
    num_classes: int,
    *,
    epochs: int,
    seed: int,
    device: torch.device,
    progress: Callable[[], None] = lambda: None,
) -> EDTCN:
    """A network trained on pairs of features (T, D) and labels (T,), in evaluation mode.

    The same seed on the same machine gives the same network; the state of torch's generators is left as it was.
    `progress` is called after every epoch.
    """
    order = np.random.default_rng(seed)
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(cuda), torch.backends.cudnn.flags(enabled=True, deterministic=True, benchmark=False):
        torch.manual_seed(seed)
        network = EDTCN(videos[0][0].shape[1], num_classes).to(device).train()
        optimizer = torch.optim.RMSprop(network.parameters(), lr=LEARNING_RATE, alpha=DECAY, eps=EPSILON)
        for _ in range(epochs):
            shuffled = order.permutation(len(videos))
            for first in range(0, len(videos), BATCH_SIZE):
                optimizer.zero_grad()
                loss = _loss(network, [videos[i] for i in shuffled[first : first + BATCH_SIZE]], device)
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
            progress()
    return network.eval()


@torch.inference_mode()
def predict(network: EDTCN, features: FeatureArray) -> IntArray:
    """The class of every row: (T, D) -> (T,) int64."""
    batch, lengths = _batch([features], next(network.parameters()).device)
    best: IntArray = network(batch, lengths)[0].argmax(dim=0).cpu().numpy()
    return best


def _loss(network: EDTCN, videos: Sequence[tuple[FeatureArray, IntArray]], device: torch.device) -> Tensor:
    """Cross entropy, the mean over all rows of the batch."""
    features, lengths = _batch([pair[0] for pair in videos], device)
    wanted = torch.from_numpy(np.concatenate([pair[1] for pair in videos])).to(device)
    scores = network(features, lengths).transpose(1, 2)
    valid = torch.arange(scores.shape[1], device=device) < lengths[:, None]
    return functional.cross_entropy(scores[valid], wanted)


def _batch(videos: Sequence[FeatureArray], device: torch.device) -> tuple[Tensor, Tensor]:
    """Videos (T, D) as one tensor (N, D, longest T), and their lengths (N,)."""
    tensors = [torch.from_numpy(video) for video in videos]
    padded = nn.utils.rnn.pad_sequence(tensors, batch_first=True).transpose(1, 2)
    return padded.to(device), torch.tensor([len(video) for video in videos], device=device)


def _without_padding(x: Tensor, lengths: Tensor, level: int) -> Tensor:
    """Zeros behind each video's end; `level` poolings have halved the rows, rounding up."""
    last = (lengths - 1) // 2**level
    inside = torch.arange(x.shape[2], device=x.device) <= last[:, None]
    return torch.where(inside[:, None], x, 0.0)


def _twice(x: Tensor) -> Tensor:
    """Every row two times: (N, C, T) -> (N, C, 2T)."""
    return x[..., None].expand(-1, -1, -1, 2).flatten(2)
