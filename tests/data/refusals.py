"""An error and its hint."""

from __future__ import annotations

from typing import Any

import pytest

from shortlist.data import Dataset
from shortlist.errors import DataError


def refused(*args: Any, **options: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        Dataset(*args, **{"query": "u", "candidate": "c"} | options)
    assert caught.value.hint, "every refusal says what to do"
    return caught.value
