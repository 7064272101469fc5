"""The frame of a page: everything is inside it, and no text can leave its place."""

from __future__ import annotations

import json
import re

from shortlist.report.template import chart_place, whole_page


def test_a_page_has_its_parts_and_nothing_to_fetch() -> None:
    page = whole_page("<b> & co", "<h1>x</h1>", "", chart_place("loss"), {"loss": {"mark": "</script><b>"}})
    assert "<title>&lt;b&gt; &amp; co</title>" in page
    assert "<header><h1>x</h1></header>" in page
    assert '<div class=chart data-chart="loss"></div>' in page
    (specs,) = re.findall(r'<script type="application/json" id="specs">(.*?)</script>', page)
    assert json.loads(specs) == {"loss": {"mark": "</script><b>"}}
    assert not re.search(r"\{\{\w+\}\}", page.replace(specs, ""))
    assert not re.search(r"<(?:script|link|img)[^>]+(?:src|href)=[\"']?http", page)
    assert page.count("<script>") == 4  # three libraries and ours
