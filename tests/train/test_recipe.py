"""Schedules and groups of parameters, against numbers and lists made by hand."""

from __future__ import annotations

import pytest
import torch

from lcdc_extract.network.names import to_paper
from lcdc_extract.train.optimizer import optimizer_of
from lcdc_extract.train.recipe import AUTHORS, MODERN, RECIPES
from tests.train.tiny import network


def test_the_authors_schedule() -> None:
    phase = AUTHORS.phases[0]
    rates = [AUTHORS.rate(phase, step, 300) for step in range(300)]  # 10 steps an epoch, 30 epochs
    assert rates[:100] == [1e-4] * 100
    assert rates[100:200] == pytest.approx([9.6e-5] * 100)
    assert rates[200:] == pytest.approx([9.216e-5] * 100)
    assert (phase.epochs, phase.batch, phase.windows, phase.frames) == (30, 3, (0,), 16)


def test_warm_up_and_cosine() -> None:
    phase = MODERN.phases[0]  # the highest rate is 5e-4
    rates = [MODERN.rate(phase, step, 100) / 5e-4 for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == pytest.approx(1.0)
    assert rates[10] == pytest.approx(1.0)
    assert rates[55] == pytest.approx(0.5)
    assert rates[99] == pytest.approx(0.0003, abs=1e-4)


def test_one_step_is_enough_for_a_schedule() -> None:
    for recipe in RECIPES.values():
        for phase in recipe.phases:
            assert recipe.rate(phase, 0, 1) > 0


def test_from_scratch_batch_norm_rests_at_the_end() -> None:
    (phase,) = MODERN.from_scratch().phases
    assert [phase.trains_batch_norm(step, 90) for step in range(90)] == [True] * 60 + [False] * 30  # 30 epochs of 3
    assert MODERN.from_scratch().rate(phase, 60, 90) == MODERN.rate(MODERN.phases[0], 60, 90)  # one schedule over both
    assert MODERN.from_scratch().encoder_rate == 1
    assert not any(MODERN.phases[0].trains_batch_norm(step, 90) for step in range(90))


def test_weight_decay_falls_on_the_62_kernels() -> None:
    blocks = [
        f"{stage}{block}"
        for stage, last in ((2, "c"), (3, "d"), (4, "f"), (5, "c"))
        for block in "abcdef"
        if block <= last
    ]
    layers = {"conv1", "conv_new_1", "spacetime_conv1", "spacetime_conv2", "fc_new_1", "fc_new_2", "cls_score"}
    layers |= {f"res{block}_branch{branch}" for block in blocks for branch in ("2a", "2b", "2c")}
    layers |= {f"res{stage}a_branch1" for stage in (2, 3, 4, 5)} | {f"res5{block}_branch2b_offset" for block in "abc"}
    assert len(layers) == 62
    trained = network()
    optimizer = optimizer_of(trained, AUTHORS.phases[0], AUTHORS)
    names = {id(parameter): name for name, parameter in to_paper(dict(trained.lcdc.named_parameters())).items()}
    decayed = {id(p) for group in optimizer.param_groups if group["weight_decay"] for p in group["params"]}
    assert {names[one] for one in decayed & names.keys()} == {f"{one}.weight" for one in layers}
    assert sorted({group["weight_decay"] for group in optimizer.param_groups}) == pytest.approx([0, 5e-8])
    assert isinstance(optimizer, torch.optim.SGD)
    assert {group["momentum"] for group in optimizer.param_groups} == {0.9}


def test_rates_of_pretrained_and_offset_layers() -> None:
    trained = network()
    optimizer = optimizer_of(trained, MODERN.phases[0], MODERN)
    relative = {id(p): group["relative"] for group in optimizer.param_groups for p in group["params"]}
    lcdc = trained.lcdc
    assert relative[id(lcdc.encoder.conv1.weight)] == 0.2
    assert relative[id(lcdc.encoder.res5.a.branch2b_offset.weight)] == 0.02
    assert relative[id(lcdc.head.fc_new_1.weight)] == 1.0
