"""Every error in the source says what was expected or what to do, and the page of errors lists it."""

from __future__ import annotations

import ast
import builtins
import re

from docs.errors import Message, messages, page
from tests.docs.source import trees
from tests.docs.translation import sections, units

from shortlist.errors import BundleError, DownloadError

INSIDE = {  # exceptions of Python's own that are raised on purpose, where they are caught or are a bug of ours
    "__init__.py": {"AttributeError"},
    "cli/demo.py": {"RuntimeError"},
    "data/readers.py": {"ValueError"},
    "data/shards/files.py": {"OSError"},
    "features/lookup.py": {"NotImplementedError"},
    "index/databases/qdrant.py": {"OSError"},
    "index/partitions.py": {"LookupError", "MemoryError", "ValueError"},
    "index/ranking.py": {"IndexError"},
    "index/tuning.py": {"AttributeError"},
    "recommender/bundle.py": {"TypeError"},
    "recommender/cells.py": {"TypeError"},
    "recommender/contents.py": {"OSError"},
    "data/id_map.py": {"KeyError"},
    "serve/changes.py": {"TypeError"},
    "serve/journal.py": {"OSError"},
    "serve/processes/channel.py": {"EOFError"},
    "serve/processes/children.py": {"OSError"},
    "serve/processes/system.py": {"OSError"},
    "serve/parsing.py": {"ValueError"},
    "serve/change_log.py": {"InterruptedError"},
    "store/folder.py": {"IsADirectoryError", "NotADirectoryError"},
    "store/mapped.py": {"OSError"},
    "train/checkpoint_files.py": {"OSError"},
}


def test_every_error_helps() -> None:
    assert [f"{one.place} {one.text}" for one in messages() if not one.helps] == []


def test_an_error_that_does_not_help_would_be_seen() -> None:
    assert not Message("ConfigError", "train", "train/fit.py:1", "the batch is wrong.", None).helps
    assert Message("ConfigError", "train", "train/fit.py:1", "the batch is wrong.", "make it larger").helps


def test_the_page_lists_them() -> None:
    text = page()
    assert len(messages()) > 400
    assert "| Retrieval got a temperature with loss=CCL(), which takes cosines as they are. |" in text
    assert (
        "| the body is longer than … bytes. | send less at a time, or start the server with a larger --max-body |"
        in text
    )
    assert "<" not in re.sub(r"&\w+;", "", text)


def test_the_korean_page_has_the_same_errors_and_figures() -> None:
    english, korean = page(), page("ko")
    ours, theirs = sections(english), sections(korean)
    assert [level for level, _ in theirs] == [level for level, _ in ours]
    for (_, body), (_, translated) in zip(ours, theirs, strict=True):
        assert len(units(translated)) == len(units(body))
    assert [text for text in english.splitlines() if text.startswith("| ") and text in korean.splitlines()] == []


def test_an_error_without_a_hint_of_its_own_has_that_of_its_class() -> None:
    assert (
        str(BundleError("'a' is torn."))
        == "'a' is torn.\nhint: copy it again from where it was saved, or save it again"
    )
    assert str(BundleError("'a' is torn.", "wait")) == "'a' is torn.\nhint: wait"
    assert "data_dir=" in str(DownloadError("it ended early."))


def test_users_meet_no_bare_exceptions() -> None:
    for place, tree in trees().items():
        raised = [node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise)]
        names = {ast.unparse(one.func if isinstance(one, ast.Call) else one) for one in raised if one is not None}
        bare = {name for name in names if hasattr(builtins, name)}
        assert bare <= INSIDE.get(place.as_posix(), set()), place
