"""The languages of commands, report and page: English, and what the catalogues next to this module hold."""

from shortlist.language.catalogue import Catalogue, catalogue, languages
from shortlist.language.chosen import from_environment, from_header, language, marked, shown, speaking, translated
from shortlist.language.counting import counted, plural, sized
from shortlist.language.width import WIDTH, columns, cut, folded, padded

__all__ = [
    "WIDTH",
    "Catalogue",
    "catalogue",
    "columns",
    "counted",
    "cut",
    "folded",
    "from_environment",
    "from_header",
    "language",
    "languages",
    "marked",
    "padded",
    "plural",
    "shown",
    "sized",
    "speaking",
    "translated",
]
