"""A tower made of others: their vectors one after another, each at a scale of its own."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from shortlist.errors import ConfigError
from shortlist.model.inputs import TowerInputs
from shortlist.model.layers import Shape
from shortlist.model.storage import TableStorage
from shortlist.model.tower import Tower

__all__ = ["JoinedTower", "part_name"]


class JoinedTower(Tower):
    """The vectors of several trained towers ``[rows, sum of their widths]``, each multiplied by its scale.

    Features are those of the parts, by the part's number and their name: ``1:user_id:StringLookup``. It is what
    ``shortlist.join`` makes; the parts keep their weights, and nothing of it is trained.
    """

    def __init__(self, parts: Sequence[Tower], scales: Sequence[float]) -> None:
        nn.Module.__init__(self)
        self.parts = nn.ModuleList(parts)
        self.scales = tuple(map(float, scales))
        self.features = {
            part_name(number, name): feature
            for number, part in enumerate(parts)
            for name, feature in part.features.items()
        }
        self.dim = sum(part.width for part in parts)
        self.shape = Shape(self.dim, "concat", 0, (), False, 0.0)
        self.normalize = self.bias = self.meets_bias = self.custom = False
        self.id_dropout = 0.0
        self.heads = 1
        self.init_scale = parts[0].init_scale
        self.storage = TableStorage()
        self.tables = nn.ModuleDict()
        self.encoders = nn.ModuleDict()
        self.layers = None
        self.built = True

    def check_trainable(self) -> None:
        """ConfigError: what is joined is trained already."""
        raise ConfigError(
            "a joined model cannot be trained.",
            hint="train its parts with fit(), then join them: shortlist.join([…])",
        )

    def forward(self, inputs: TowerInputs) -> Tensor:
        """Vectors ``[rows, dim]``."""
        vectors = []
        for number, (part, scale) in enumerate(zip(self.parts, self.scales, strict=True)):
            assert isinstance(part, Tower)
            columns = {name: inputs.columns[part_name(number, name)] for name in part.features}
            vectors.append(part(TowerInputs(columns, len(inputs))) * scale)
        return torch.cat(vectors, dim=1)


def part_name(number: int, feature: str) -> str:
    """The name in a joined tower of a part's feature."""
    return f"{number}:{feature}"
