"""The players of README.md, run as they stand there."""

import asyncio
import os
import shutil
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.fans import Fan, until
from tests.support.js_player import DIRECTORY, install_sdk
from tests.support.nodes import token

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "docs" / "examples"


class Told:
    """A running example, and what it has printed."""

    def __init__(self):
        self.lines = []

    async def read(self, stream):
        while line := await stream.readline():
            self.lines.append(line.decode().rstrip())


@asynccontextmanager
async def running(*command):
    told = Told()
    process = await asyncio.create_subprocess_exec(
        *command,
        env={"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    reading = asyncio.create_task(told.read(process.stdout))
    try:
        yield told
    finally:
        process.kill()
        await process.wait()
        await reading


@pytest.fixture
def javascript(tmp_path):
    """The example beside the packages that a reader would install."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not on this machine")
    install_sdk()
    shutil.copy(EXAMPLES / "player.mjs", tmp_path)
    (tmp_path / "node_modules").symlink_to(DIRECTORY / "node_modules")
    return [node, str(tmp_path / "player.mjs")]


@pytest.fixture
def python():
    return [sys.executable, str(EXAMPLES / "player.py")]


@pytest.mark.parametrize("language", ["python", "javascript"])
async def test_an_example_says_hello_shows_the_chat_and_is_counted(first, stream_id, language, request):
    command = request.getfixturevalue(language)
    async with Fan(first.ws_url, token("ann")) as ann:
        room = await ann.enter(f"stream:{stream_id}:chat")
        async with running(*command, first.url, token("bob")) as told:
            await until(lambda: any(text.startswith("hello from ") for text in room.texts))
            await ann.call("chat.send", stream_id=stream_id, text="hello back", client_id="a-1")
            await until(lambda: "Ann: hello back" in told.lines)
            await until(lambda: "1 are watching" in told.lines)


@pytest.mark.parametrize("language", ["python", "javascript"])
async def test_an_example_without_a_token_watches_only(first, stream_id, language, request):
    command = request.getfixturevalue(language)
    async with Fan(first.ws_url, token("ann")) as ann, running(*command, first.url) as told:
        await until(lambda: "1 are watching" in told.lines)
        await ann.call("chat.send", stream_id=stream_id, text="hello", client_id="a-1")
        await until(lambda: "Ann: hello" in told.lines)
