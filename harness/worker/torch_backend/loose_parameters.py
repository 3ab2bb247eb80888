"""Parameters that a script trains and that belong to no model that it has called.

They are tracked among the models, as a module that holds them and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

LEAVES = "parameters"  # the name of leaves that neither a model nor an optimizer has


class LooseParameters(nn.Module):
    """Trained tensors whose module is not known."""

    def __init__(self) -> None:
        super().__init__()
        self.tensors: dict[str, Tensor] = {}

    def named_parameters(self, *args: Any, **kwargs: Any) -> Iterator[tuple[str, Any]]:  # noqa: ARG002
        yield from self.tensors.items()


def label_of(optimizer: str) -> str:
    """The name of what an optimizer has and no known model, among the models."""
    return f"{optimizer} parameters"


def track_optimized(models: dict[str, nn.Module], name: str, optimizer: Optimizer) -> None:
    """Track what an optimizer has and no known model, as a model named after the optimizer."""
    label = label_of(name)
    known = _parameters_of(models, without=label)
    loose = LooseParameters()
    for group, options in enumerate(optimizer.param_groups):
        for index, tensor in enumerate(options["params"]):
            if id(tensor) not in known:
                loose.tensors[f"{group}.{index}"] = tensor
    if loose.tensors:
        models[label] = loose


def track_leaves(models: dict[str, nn.Module], roots: Sequence[Tensor]) -> None:
    """Track the leaves of the graph of these roots that no known model has.

    A script may replace them at every step, so they are named by their order in the graph.
    """
    known = _parameters_of(models, without=LEAVES)
    models.pop(LEAVES, None)
    loose = LooseParameters()
    for leaf in _graph_leaves(roots):
        if id(leaf) not in known:
            loose.tensors[str(len(loose.tensors))] = leaf
    if loose.tensors:
        models[LEAVES] = loose


def claim(models: dict[str, nn.Module], module: nn.Module) -> None:
    """Give loose parameters to the module that owns them, which has been called at last.

    With a closure, the optimizer's step begins before the first forward.
    """
    owned = {id(tensor) for tensor in module.parameters()}
    for name, loose in list(models.items()):
        if not isinstance(loose, LooseParameters):
            continue
        loose.tensors = {
            key: tensor for key, tensor in loose.tensors.items() if id(tensor) not in owned
        }
        if not loose.tensors:
            del models[name]


def _parameters_of(models: dict[str, nn.Module], without: str) -> set[int]:
    others = (model for name, model in models.items() if name != without)
    return {id(tensor) for model in others for _, tensor in model.named_parameters()}


def _graph_leaves(roots: Sequence[Tensor]) -> list[Tensor]:
    """The tensors in which a backward from these roots accumulates gradients, each once."""
    leaves: list[Tensor] = []
    nodes = [root.grad_fn for root in reversed(roots) if root.grad_fn is not None]
    seen = set(nodes)
    while nodes:
        node = nodes.pop()
        if type(node).__name__ == "AccumulateGrad":
            leaves.append(node.variable)  # type: ignore[attr-defined]
        for following, _ in reversed(node.next_functions):
            if following is not None and following not in seen:
                seen.add(following)
                nodes.append(following)
    return leaves
