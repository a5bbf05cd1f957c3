"""Networks with random numbers that are the same on every machine."""

from __future__ import annotations

import torch

from lcdc_extract.config import NetworkConfig
from lcdc_extract.network.lcdc import LCDC


def fresh_network(config: NetworkConfig, seed: int = 0) -> LCDC:
    """An untrained network; torch's global random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LCDC(config)
