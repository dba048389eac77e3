"""What the shape of the program promises, read from its text."""

import ast
import re
from pathlib import Path

import pytest
from importlinter import cli

import csn_rt
from csn_rt.db.queries import QUERIES

PACKAGE = Path(csn_rt.__file__).parent
MODULES = {str(path.relative_to(PACKAGE)): path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")}
TREES = {name: ast.parse(text) for name, text in MODULES.items()}

MOST_LINES = 400
CHANNEL = re.compile(r"(?<!/)\b(stream|user):(?!\s)")


def each_module(test):
    return pytest.mark.parametrize("module", sorted(MODULES))(test)


def test_imports_keep_their_contracts(monkeypatch, capfd):
    monkeypatch.chdir(PACKAGE.parent)
    status = cli.lint_imports(config_filename="pyproject.toml", no_cache=True)

    assert 0 == status, capfd.readouterr().out


@each_module
def test_a_module_is_small(module):
    assert len(MODULES[module].splitlines()) < MOST_LINES


def texts(tree):
    """Every string of a program but its docstrings, also the parts of f-strings."""
    statements = [node for node in ast.walk(tree) if isinstance(node, ast.Expr)]
    docstrings = {id(node.value) for node in statements}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


@each_module
def test_the_text_of_a_channel_name_occurs_in_names_only(module):
    spelled = [text for text in texts(TREES[module]) if CHANNEL.search(text)]

    assert bool(spelled) is (module == "wire/names.py"), spelled


@pytest.mark.parametrize(
    "code", ['f"stream:{id}:chat"', '"stream:" + id', 'x = {"a": ["user:ann"]}', 'b = "user:%s"']
)
def test_a_channel_name_spelled_elsewhere_would_be_seen(code):
    assert any(CHANNEL.search(text) for text in texts(ast.parse(code)))


@pytest.mark.parametrize(
    "code", ['"""stream:<id>:chat"""', 'def f():\n    """stream:1"""', '"the stream: an id"']
)
def test_a_docstring_and_a_sentence_are_no_channel_names(code):
    assert not any(CHANNEL.search(text) for text in texts(ast.parse(code)))


@pytest.mark.parametrize("module", sorted(name for name in MODULES if name.startswith(("core/", "wire/"))))
def test_the_core_and_the_wire_never_wait(module):
    waiting = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)

    assert [] == [node.lineno for node in ast.walk(TREES[module]) if isinstance(node, waiting)]


def test_no_query_is_dead():
    assert set() == set(QUERIES) - {text for tree in TREES.values() for text in texts(tree)}


def test_no_query_is_missing():
    asked = {
        node.args[0].value
        for tree in TREES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "query"
        if isinstance(node.args[0], ast.Constant)
    }

    assert asked
    assert set() == asked - set(QUERIES)
