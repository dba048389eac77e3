"""`csn-rt demo`, started and stopped as a person would. Rule numbers are those of csn_rt/demo/run.py.

One story, told once because a start takes seconds: a first run with two nodes, ended by SIGTERM; a second one
on the same data directory, killed. The tests are its claims.
"""

import asyncio
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import jwt
import psutil
import pytest

from tests.support.fans import Fan, until

START_S = 60.0
STOP_S = 40.0


class RunningDemo:
    """One run of the command, and what was seen of it."""

    def __init__(self, data_dir, *arguments, port):
        self.port = port
        self.data_dir = data_dir
        self.output = data_dir.parent / f"{data_dir.name}-{time.monotonic_ns()}.out"
        self.family = {}
        environment = {"PATH": os.environ["PATH"], "HOME": str(data_dir.parent)}
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "csn_rt", "demo", "--data-dir", str(data_dir)),
                    *("--port", str(port), *arguments),
                ],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def said(self):
        return self.output.read_text()

    def address(self, node=0):
        return f"http://127.0.0.1:{self.port + node}"

    def wait_on(self):
        """Until the summary is there; remembers every process that belongs to it."""
        deadline = time.monotonic() + START_S
        while "Ctrl-C stops everything" not in self.said:
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.1)
        self.family = {each.pid: each for each in psutil.Process(self.process.pid).children(recursive=True)}

    def end(self, number):
        """Its exit status, and which of its processes are still there soon after."""
        self.process.send_signal(number)
        status = self.process.wait(STOP_S)
        _gone, alive = psutil.wait_procs(self.family.values(), timeout=STOP_S)
        return status, [each.cmdline() for each in alive]

    def tokens(self):
        return dict(re.findall(r"^(FAN|MOD|ADMIN)=(\S+)$", self.said, re.MULTILINE))


class Story:
    """What the two runs showed."""


def two_free_ports():
    """The first of two neighbours that are free."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return port


async def watch(demo, story):
    async with httpx.AsyncClient() as http:
        story.pages = [await http.get(demo.address(node)) for node in (0, 1)]
        live = (await http.get(f"{demo.address()}/v1/content.list", params={"kind": "live"})).json()
        story.live = live["items"]
        story.videos = (await http.get(f"{demo.address(1)}/v1/content.list")).json()["items"]
    stream_id = story.live[0]["id"]
    # The bots come to both nodes, and what they say at one is heard at the other.
    async with Fan(f"ws://127.0.0.1:{demo.port + 1}", demo.tokens()["FAN"]) as fan:
        room = await fan.enter(f"stream:{stream_id}:chat")
        await until(lambda: len(room.texts) >= 3, 60)
        story.heard = list(room.pushed)
        story.sent = await fan.call("chat.send", stream_id=stream_id, text="hello bots", client_id="c-1")
        counts = await fan.call("viewers.get", stream_ids=[stream_id])
        story.viewers = counts["items"][0]["viewers"]
        socket_of_the_sdk = fan.client._conn
    # The SDK does not wait for its socket to be closed, and this event loop ends here.
    await socket_of_the_sdk.wait_closed()


async def look_again(demo, story):
    async with httpx.AsyncClient() as http:
        live = (await http.get(f"{demo.address()}/v1/content.list", params={"kind": "live"})).json()
        story.live_again = live["items"]
        query = {"stream_id": story.live[0]["id"], "limit": 100}
        history = (await http.get(f"{demo.address()}/v1/chat.history", params=query)).json()
        bearer = {"Authorization": f"Bearer {story.tokens['FAN']}"}
        story.whoami_again = (await http.get(f"{demo.address()}/v1/auth.whoami", headers=bearer)).json()
        story.history_again = [message["text"] for message in history["items"]]


@pytest.fixture(scope="module")
def story():
    story = Story()
    base = Path(tempfile.mkdtemp(prefix="csn-demo-"))
    base.chmod(0o755)
    data_dir = base / "data"
    first = second = None
    try:
        first = RunningDemo(data_dir, "--nodes", "2", "--bots", "8", port=two_free_ports())
        first.wait_on()
        story.tokens = first.tokens()
        asyncio.run(watch(first, story))
        story.refused = refused_meanwhile(first)
        story.first_end = first.end(signal.SIGTERM)
        story.first_said = first.said

        second = RunningDemo(data_dir, "--bots", "2", port=two_free_ports())
        second.wait_on()
        asyncio.run(look_again(second, story))
        story.second_end = second.end(signal.SIGKILL)
        story.secret_mode = stat.S_IMODE((data_dir / "secret").stat().st_mode)
        yield story
    finally:
        for demo in (first, second):
            if demo is not None and demo.process.poll() is None:
                demo.end(signal.SIGKILL)
        remove(data_dir)
        shutil.rmtree(base, ignore_errors=True)


def refused_meanwhile(running):
    """What a second demo says that wants the same port, and one that wants the same data."""
    said = []
    for directory, port in (
        (running.data_dir.parent / "other", running.port),
        (running.data_dir, two_free_ports()),
    ):
        demo = RunningDemo(directory, port=port)
        said.append((demo.process.wait(START_S), demo.said))
    return said


def remove(data_dir):
    """Root's cluster may live where PostgreSQL's own user can reach it; the link says where."""
    cluster = data_dir / "postgres"
    if cluster.is_symlink():
        shutil.rmtree(cluster.resolve(), ignore_errors=True)


def test_every_node_serves_a_page(story):
    assert [200, 200] == [page.status_code for page in story.pages]
    assert all("csn_rt" in page.text for page in story.pages)


def test_the_stream_is_on_and_there_are_three_videos(story):
    assert ["live"] == [item["live_state"] for item in story.live]
    assert 3 == len([item for item in story.videos if item["kind"] != "live"])


def test_bots_are_heard_through_a_websocket(story):
    names = {event["user"]["name"] for event in story.heard}
    assert len(names) >= 2


def test_bots_are_counted_as_viewers(story):
    assert 1 <= story.viewers <= 8


def test_one_can_talk_to_them(story):
    assert story.sent["sent"]


def test_the_summary_fits_a_screen_and_says_how_to_try(story):
    summary = story.first_said.partition("Stopping.")[0]
    assert len(summary.splitlines()) <= 24
    assert all(word in summary for word in ("curl", "player.mjs", "player.py"))


def test_its_tokens_are_for_a_fan_a_moderator_and_an_admin(story):
    claims = {
        name: jwt.decode(token, options={"verify_signature": False}) for name, token in story.tokens.items()
    }
    expected = {"FAN": "user", "MOD": "moderator", "ADMIN": "admin"}
    assert expected == {name: each["metadata"]["role"] for name, each in claims.items()}


def test_it_says_nothing_but_the_summary(story):
    assert "ended with status" not in story.first_said
    assert story.first_said.rstrip().endswith("Stopping.")


def test_sigterm_ends_it_cleanly_and_no_process_is_left(story):
    assert (0, []) == story.first_end, "rule 2"


def test_a_second_start_finds_its_data(story):
    assert [item["id"] for item in story.live] == [item["id"] for item in story.live_again], "rule 1"
    assert "live" == story.live_again[0]["live_state"], "rule 1"
    assert "hello bots" in story.history_again, "rule 1"


def test_tokens_stay_good_over_a_restart(story):
    assert ("demo-fan", "user") == (story.whoami_again["user_id"], story.whoami_again["role"])


def test_a_demo_that_is_killed_takes_everything_with_it(story):
    assert (-signal.SIGKILL, []) == story.second_end, "rule 2"


def test_the_secret_is_its_owner_s_alone(story):
    assert 0o600 == story.secret_mode


def test_a_port_in_use_is_told_in_a_sentence(story):
    status, said = story.refused[0]
    assert (1, 1) == (status, len(said.splitlines()))
    assert re.match(r"Port \d+ cannot be used: .* Choose another one with --port\.", said)


def test_a_data_directory_in_use_is_told_in_a_sentence(story):
    status, said = story.refused[1]
    assert (1, 1) == (status, len(said.splitlines()))
    assert "is in use by another running program" in said
