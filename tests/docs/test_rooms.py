"""The picture of the house is drawn from the code."""

from __future__ import annotations

from docs.rooms import BOX, PICTURE, Import, arrows, imports, layers, picture, placed


def test_the_picture_is_that_of_the_code() -> None:
    assert PICTURE.read_text("utf-8") == picture(), "python docs/rooms.py"


def test_every_room_is_in_it() -> None:
    rooms = {room for row in layers() for room in row}
    assert {"cli", "serve", "train", "index", "features", "data", "errors"} <= rooms
    drawn = picture()
    assert all(f">{room}</text>" in drawn for room in rooms)


def test_imports_are_read_as_they_stand() -> None:
    assert {one.room for one in imports("data")} == {"errors", "store", "display", "language"}
    assert Import("torch", False) in imports("loss")
    assert "torch" not in {one.room for one in imports("index")}
    assert Import("torch", False) not in imports("recommender")  # it builds from a model, and loads without


def test_what_follows_from_other_imports_is_left_out() -> None:
    assert arrows({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == {("a", "b"), ("b", "c")}


def test_no_line_runs_behind_a_room() -> None:
    rows, places = layers(), placed(layers())
    level = {room: number for number, row in enumerate(rows) for room in row}
    graph = {room: {one.room for one in imports(room) if one.room != "torch"} for room in level}
    for room, below in arrows(graph):
        between = [other for row in rows[level[room] + 1 : level[below]] for other in row]
        assert all(abs(places[other][0] - places[room][0]) > BOX / 2 for other in between), (room, below)
