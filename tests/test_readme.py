"""README.md says what is so."""

import re
from pathlib import Path

import pytest

from csn_rt.settings import SETTINGS, show_value

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["player.mjs", "player.py"])
def test_the_players_are_those_of_the_examples(name):
    assert (ROOT / "docs" / "examples" / name).read_text(encoding="utf-8") in README


@pytest.mark.parametrize("row", SETTINGS, ids=lambda row: row.name)
def test_every_setting_is_in_the_table(row):
    default = f"`{show_value(row.default)}`" if row.default not in ("", ()) else ""
    unit = f", in {row.unit}" if row.unit else ""
    assert f"| `{row.name}` | {default} | {row.meaning}{unit} |" in README


def test_every_link_leads_to_a_file():
    links = re.findall(r"\]\((?!https?://)([^)#]+)", README)
    assert [] == [link for link in links if not (ROOT / link).exists()]


def test_there_is_one_command_for_the_demo_and_one_for_the_tests():
    commands = re.findall(r"^python3\.11 -m venv .*$", README, re.MULTILINE)
    assert [".venv/bin/csn-rt demo", ".venv/bin/python -m pytest"] == [
        command.split(" && ")[-1] for command in commands
    ]
