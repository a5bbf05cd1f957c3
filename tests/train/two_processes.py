"""What `test_processes` starts twice with torchrun: a run whose processes must agree at the end."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import torch
from torch import distributed

from lcdc_extract.config import PreprocessConfig
from lcdc_extract.train import trainer as trainer_module
from lcdc_extract.train.batch import Batch
from lcdc_extract.train.config import TrainConfig
from lcdc_extract.train.events import silent
from lcdc_extract.train.loss import Objective
from lcdc_extract.train.optimizer import optimizer_of
from lcdc_extract.train.processes import Processes
from lcdc_extract.train.recipe import Phase
from lcdc_extract.train.state import TrainState, load_state
from lcdc_extract.train.videos import LabelledVideos
from tests.train.tiny import CLASSIFY, CPU, LAYOUT, RECIPE, RandomBatches, network, trainer


def main(folder: Path) -> None:
    """Trains and decodes; fails where the two processes differ."""
    with Processes(CPU) as processes:
        rank, count = torch.tensor(float(processes.rank)), torch.tensor(processes.rank)
        processes.average([rank, count])
        assert (rank.item(), count.item()) == (0.5, processes.rank)
        for phase in (LAYOUT, CLASSIFY):
            check_gradients(phase, processes)
        # One clock says "save now", the other does not.
        setattr(trainer_module, "SAVE_EVERY_SECONDS", 0.0 if processes.first else 1e9)  # noqa: B010
        trained = network()
        state = load_state(folder, {}) or TrainState({})
        trainer(trained, RECIPE, folder, state, processes=processes).run()
        agree(torch.stack([tensor.double().sum() for tensor in trained.state_dict().values()]))
        config = TrainConfig(folder / "out", videos=folder / "videos", labels=folder / "groundTruth")
        videos = LabelledVideos(config, CPU, processes, silent)
        agree(torch.tensor([int(videos.fingerprint.split()[-1], 16) >> 8]))


def check_gradients(phase: Phase, processes: Processes) -> None:
    """Backward leaves the mean of what each process's batch would give alone, worked out here without the other."""
    recipe, mean = dataclasses.replace(RECIPE, layout_loss=0.3), PreprocessConfig().mean
    alone = []
    for rank in range(processes.count):
        trained = network()
        optimizer_of(trained, phase, recipe)
        Objective(trained, phase, recipe, mean)(batch_of(phase, rank)).loss.backward()
        alone.append([parameter.grad for parameter in trained.parameters() if parameter.requires_grad])
    trained = network()
    optimizer_of(trained, phase, recipe)
    parallel = processes.parallel(Objective(trained, phase, recipe, mean))
    parallel(batch_of(phase, processes.rank)).loss.backward()
    together = [parameter.grad for parameter in trained.parameters() if parameter.requires_grad]
    differing = 0
    for found, *parts in zip(together, *alone, strict=True):
        expected = torch.stack(parts).mean(dim=0)
        assert (found - expected).norm() <= 1e-5 * expected.norm()
        differing += not torch.equal(*parts)
    assert differing > 10  # not all: the last batch norm of a residual branch starts at 0, and stops gradients


def batch_of(phase: Phase, rank: int) -> Batch:
    """What one process would train on in the first step."""
    return next(RandomBatches().batches(phase, range(1), rank, 2))


def agree(mine: torch.Tensor) -> None:
    """All processes have the same numbers."""
    everyone = [torch.empty_like(mine) for _ in range(2)]
    distributed.all_gather(everyone, mine)
    assert torch.equal(*everyone)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
