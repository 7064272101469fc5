"""``shortlist serve``: what it says and refuses before it serves anything."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from tests.cli.typed import shortlist

from shortlist.cli.serve import _hosts, command

NAMES = {"localhost", "127.0.0.1", "[::1]"}


@pytest.mark.parametrize("variable", ["SHORTLIST_API_KEYS", "SHORTLIST_WRITE_KEYS"])
@pytest.mark.parametrize("value", ["", " ", ",", " , "])
def test_a_variable_without_a_key_in_it_does_not_open_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    done = shortlist("serve", "none.shortlist", cwd=tmp_path)
    assert done.returncode == 1
    assert f"{variable} is set but holds no key" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("host", "key", "warned"),
    [("0.0.0.0", None, True), ("::", None, True), ("0.0.0.0", "r" * 20, False), ("127.0.0.1", None, False)],
)
def test_a_server_for_all_without_keys_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, key: str | None, warned: bool
) -> None:
    if key is not None:
        monkeypatch.setenv("SHORTLIST_API_KEYS", key)
    done = shortlist("serve", "none.shortlist", "--host", host, cwd=tmp_path)
    assert ("set SHORTLIST_API_KEYS" in done.stderr) is warned


NUMBERS = [option.opts[0] for option in command.params if isinstance(option.type, click.types.FloatParamType)]


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "-inf"])
@pytest.mark.parametrize("option", NUMBERS)
def test_every_number_is_finite_and_not_below_zero(option: str, value: str) -> None:
    done = CliRunner().invoke(command, ["none.shortlist", option, value])
    assert done.exit_code == 2
    assert option in click.unstyle(done.output)
    assert isinstance(done.exception, SystemExit)


def test_there_are_such_numbers() -> None:
    assert {"--max-wait", "--receive-seconds", "--send-seconds", "--drain-seconds", "--seen-days"} <= set(NUMBERS)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--unix", "socket", "--host", "0.0.0.0"), "--unix was given with --host or --port"),
        (("--unix", "socket", "--port", "80"), "--unix was given with --host or --port"),
        (("--max-memory", "500"), "give --workers 2"),
        (("--worker-timeout", "5"), "give --workers 2"),
    ],
)
def test_options_that_do_not_go_together(tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    done = shortlist("serve", "none.shortlist", *options, cwd=tmp_path)
    assert done.returncode == 1
    assert said in done.stderr


@pytest.mark.parametrize(
    "options", [("--workers", "0"), ("--workers", "2", "--max-memory", "0"), ("--worker-timeout", "0")]
)
def test_numbers_out_of_range_are_refused(tmp_path: Path, options: tuple[str, ...]) -> None:
    assert shortlist("serve", "none.shortlist", *options, cwd=tmp_path).returncode == 2


def test_names_under_which_a_server_is_asked() -> None:
    assert set(_hosts("127.0.0.1", (), ()) or ()) == NAMES
    assert set(_hosts("127.0.0.2", (), ()) or ()) == {*NAMES, "127.0.0.2"}
    assert set(_hosts("::1", ("Shop.Example",), ()) or ()) == {*NAMES, "shop.example"}
    assert set(_hosts("0.0.0.0", ("shop.example",), ()) or ()) == {*NAMES, "0.0.0.0", "shop.example"}
    assert _hosts("127.0.0.1", ("*",), ()) is None
    assert _hosts("127.0.0.1", (), ("r" * 20,)) is None
    assert _hosts("0.0.0.0", (), ()) is None
