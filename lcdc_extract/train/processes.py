"""One process per GPU, as torchrun starts them; a plain start is a group of one."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from datetime import timedelta

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

PATIENCE = timedelta(days=1)
"""How long a process waits for the others, which may be decoding videos; torchrun ends all when one fails."""


class Processes:
    """This process's place among those that train together. Use it as a context manager."""

    def __init__(self, device: torch.device) -> None:
        self.count = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = int(os.environ.get("RANK", "0"))
        if self.count > 1:
            if device.type == "cuda":
                torch.cuda.set_device(device)
            distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes files and progress."""
        return self.rank == 0

    def parallel(self, module: nn.Module) -> nn.Module:
        """`module`, wrapped so that backward averages the gradients over all processes; alone, as it is.

        Wrap it anew when other parameters are trained, and keep the wrapper while it trains. Parameters then start as
        the first process has them. Running statistics of batch norm are left to `average`: broadcasting them in every
        step would keep those of the first process and throw away what the others saw.
        """
        if self.count == 1:
            return module
        with warnings.catch_warnings():  # torch 2.13 has a new name for it, which 2.6 does not know
            warnings.simplefilter("ignore", FutureWarning)
            return DistributedDataParallel(module, broadcast_buffers=False)

    def average(self, tensors: Iterable[Tensor]) -> None:
        """Replaces each floating point tensor by its mean over all processes, in place."""
        if self.count == 1:
            return
        for tensor in tensors:
            if tensor.is_floating_point():
                distributed.all_reduce(tensor)
                tensor.div_(self.count)

    def wait(self) -> None:
        """Until all processes are here."""
        if self.count > 1:
            distributed.barrier()

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        if self.count > 1:
            distributed.destroy_process_group()


def local_device(device: torch.device) -> torch.device:
    """The GPU that torchrun means for this process, where several share a machine."""
    if device.type == "cuda" and device.index is None and "LOCAL_RANK" in os.environ:
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    return device
