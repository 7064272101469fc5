"""Embedding tables, towers, and the model that joins two of them."""

from shortlist.model.embedding import EmbeddingTable
from shortlist.model.inputs import TowerInputs
from shortlist.model.joined import join
from shortlist.model.onnx import tower_to_onnx
from shortlist.model.optimizer_state import OptimizerState
from shortlist.model.popularity import popularity
from shortlist.model.state import ModelState, model_from_state, state_of
from shortlist.model.tfrs import from_tfrs
from shortlist.model.tower import Tower
from shortlist.model.two_tower import Catalogue, EncodedDataset, TwoTower, query_table, vectors_of
from shortlist.model.unknown import fill_untrained, unknown_rows

__all__ = [
    "Catalogue",
    "EmbeddingTable",
    "EncodedDataset",
    "ModelState",
    "OptimizerState",
    "Tower",
    "TowerInputs",
    "TwoTower",
    "fill_untrained",
    "from_tfrs",
    "join",
    "model_from_state",
    "popularity",
    "query_table",
    "state_of",
    "tower_to_onnx",
    "unknown_rows",
    "vectors_of",
]
