"""What a phase trains, and how fast each part of it."""

from __future__ import annotations

from torch import Tensor, optim

from lcdc_extract.train.network import TrainingNetwork
from lcdc_extract.train.recipe import Phase, Recipe


def optimizer_of(network: TrainingNetwork, phase: Phase, recipe: Recipe) -> optim.Optimizer:
    """Leaves `requires_grad` to what the phase trains, and groups that by learning rate and decay.

    Each group's "relative" is its rate as a share of the step's.
    """
    encoder = {id(parameter) for parameter in network.lcdc.encoder.parameters()}
    groups: dict[tuple[float, float], list[Tensor]] = {}
    for name, parameter in network.named_parameters():
        in_encoder = id(parameter) in encoder
        parameter.requires_grad_(_is_trained(name, in_encoder, phase, recipe))
        parameter.grad = None  # what an earlier phase left would count in the norm
        if parameter.requires_grad:
            rate = recipe.encoder_rate if in_encoder and phase.task == "classify" else 1.0
            if "_offset" in name:
                rate = recipe.offset_rate
            decay = recipe.weight_decay if parameter.ndim > 1 else 0.0
            groups.setdefault((rate, decay), []).append(parameter)
    parameters = [
        {"params": members, "relative": rate, "weight_decay": decay} for (rate, decay), members in groups.items()
    ]
    if recipe.optimizer == "momentum":
        return optim.SGD(parameters, lr=phase.learning_rate, momentum=0.9)
    return optim.AdamW(parameters, lr=phase.learning_rate)


def _is_trained(name: str, in_encoder: bool, phase: Phase, recipe: Recipe) -> bool:
    """Exactly the parameters that the phase's loss depends on: several processes wait for the gradient of each."""
    if phase.task == "layout":
        return in_encoder or name.startswith("layout_classifier")
    if name.startswith("layout_classifier"):
        return bool(recipe.layout_loss) and phase.frozen == "nothing"
    if name.startswith("motion_classifier"):
        return bool(recipe.motion_loss)
    return not (in_encoder and phase.frozen == "encoder")
