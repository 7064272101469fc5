"""The same calls give the same losses, lists, figures, choices and replies as when they were recorded.

``python -m tests.proof.record`` writes the record anew after a change of behaviour that is meant.
"""

from __future__ import annotations

import pytest
from tests.proof.calls import PARTS
from tests.proof.comparing import differences, machine
from tests.proof.record import plain, read


@pytest.mark.filterwarnings("ignore::shortlist.errors.ShortlistWarning")
@pytest.mark.parametrize("name", PARTS)
def test_the_same_calls_give_the_same_as_recorded(name: str) -> None:
    record = read()
    exact = record["machine"] == machine()
    found = list(differences(record["parts"][name], plain(PARTS[name]()), exact))
    if found:
        how = "to the last bit, as on the machine of the record" if exact else "within rounding, on another machine"
        pytest.fail("\n".join([f"{len(found)} differences ({how}):", *found[:20]]), pytrace=False)
