"""``shortlist schema``."""

import json

from click.testing import CliRunner

from shortlist.cli.main import cli


def test_it_prints_the_schema() -> None:
    done = CliRunner().invoke(cli, ["schema"])
    assert done.exit_code == 0, done.output
    printed = json.loads(done.stdout)
    assert printed["$schema"].endswith("2020-12/schema")
    assert printed["$defs"]["ModelSection"]["properties"]["dim"] == {
        "type": "integer",
        "default": 32,
        "description": "length of the vector; both towers of a model must agree.",
    }
