"""What stands in the page as text stays text."""

from __future__ import annotations

import json

from shortlist.report.html import as_json, interval, share, table


def test_json_cannot_leave_its_element() -> None:
    value = {"</script>": ["<!--", "a & b", "\u2028\u2029", float("nan"), float("inf"), 1.5, None]}
    text = as_json(value)
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == {"</script>": ["<!--", "a & b", "\u2028\u2029", None, None, 1.5, None]}


def test_tables_escape_everything() -> None:
    made = table("<c>", ["<h>", "words", "figures"], [("<r>", "<d>", "12.5%")], "<s>")
    for letter in "chrds":
        assert f"&lt;{letter}&gt;" in made
        assert f"<{letter}>" not in made
    assert '<td class="number">12.5%</td>' in made
    assert '<th scope="col" class="number">figures</th>' in made


def test_shares_with_and_without_an_interval() -> None:
    assert share(0.1234) == "12.3%"
    assert share(None) == share(float("nan")) == "–"
    assert interval(0.5, 0.25, 0.75) == "50.0% (25.0% to 75.0%)"
    assert interval(0.5, None, None) == interval(0.5, float("nan"), float("nan")) == "50.0%"
