"""How results are shown to other tools: as frames, and as small HTML tables in notebooks."""

from shortlist.display.html import escaped, facts_html, frame_html, table_html
from shortlist.display.tabular import Framed, Tabular

__all__ = ["Framed", "Tabular", "escaped", "facts_html", "frame_html", "table_html"]
