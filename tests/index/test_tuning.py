"""The old place of the room ``shortlist.tuning``."""

from __future__ import annotations

import subprocess
import sys

import pytest

import shortlist.index
import shortlist.tuning


def test_the_old_names_work_and_name_the_new_ones() -> None:
    with pytest.warns(
        DeprecationWarning, match=r"shortlist\.index\.tuning\.tune has moved to shortlist\.tuning\.tune_index"
    ):
        assert shortlist.index.tuning.tune is shortlist.tuning.tune_index
    with pytest.warns(DeprecationWarning, match=r"moved to shortlist\.tuning\.Recall"):
        from shortlist.index.tuning import Recall
    assert Recall is shortlist.tuning.Recall
    with pytest.raises(AttributeError, match="'tunes'"):
        shortlist.index.tuning.tunes  # noqa: B018


def test_an_index_keeps_its_promise_where_nothing_else_was_imported() -> None:
    """What the docs do: the room above is found, though ``index`` imports nothing of it."""
    program = (
        "import numpy as np\n"
        "from shortlist.errors import SearchError\n"
        "from shortlist.index import ScaNN\n"
        "try:\n    ScaNN(recall=0.9).build(np.eye(4, dtype=np.float32))\n"
        "except SearchError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "needs queries to keep its promise; none were given" in done.stdout
