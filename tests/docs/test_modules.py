"""The list of modules says what each is for and who calls it."""

from __future__ import annotations

from docs.modules import callers, modules, page, public, purpose


def test_every_module_of_a_room_is_in_it_with_a_purpose() -> None:
    within = [name for name in modules() if "." in name and not name.endswith("__init__")]
    assert [name for name in within if not purpose(name)] == []
    rooms = {name.partition(".")[0] for name in within}
    text = page()
    assert all(f"\n## {room}\n" in text for room in rooms)


def test_modules_in_no_room_are_there_too() -> None:
    first = page().split("\n## ")[1]
    assert first.startswith("modules in no room")
    for name in ("errors", "intervals", "_above", "_public"):
        assert f"| `{name}` |" in first


def test_callers_are_those_that_import() -> None:
    found = callers()
    assert "cli.training" in found["train.recipe"]  # through another module that has it in __all__
    assert "index.approximate" in found["tuning.promise"]  # a room above
    assert {"serve.reading", "data.ids"} <= found["errors"]
    assert {"recommender.bundle", "recommender.contents"} <= found["recommender.manifest"]  # directly
    assert "train.fit" in found["evaluation.testset"]  # through the room's __init__
    assert found["report.page"] == {"report.write"}
    assert "recommender.manifest" not in found["recommender.manifest"]


def test_a_public_name_belongs_to_the_module_that_defines_it() -> None:
    assert public("evaluation.audit") == ["sl.audit"]
    assert public("evaluation.gate") == []
