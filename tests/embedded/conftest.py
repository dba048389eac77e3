"""Data directories for embedded servers, and owners of them that can be killed."""

import contextlib
import subprocess
import sys
import time

import psutil
import pytest

from tests.support.servers import temporary_directory

OWNER = """
import sys, time
from pathlib import Path
from csn_rt.embedded.{module} import {name}

server = {name}(Path(sys.argv[1]))
server.start()
print(server.url, flush=True)
time.sleep(60)
"""


class Owner:
    """Another program that runs a server."""

    def __init__(self, name, data_dir):
        program = OWNER.format(module=name.removeprefix("Embedded").lower(), name=name)
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, data_dir], stdout=subprocess.PIPE, text=True
        )
        self.url = self.process.stdout.readline().strip()

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def kill_with_guard(self):
        """Nothing is left that could stop the server."""
        for guard in psutil.Process(self.process.pid).children():
            guard.kill()
        self.kill()


@pytest.fixture
def data_dir():
    with temporary_directory() as path:
        yield path


@pytest.fixture
def own():
    """Start another program that runs the named server on that data directory."""
    owners = []

    def start(name, data_dir):
        owners.append(Owner(name, data_dir))
        return owners[-1]

    yield start
    for owner in owners:
        with contextlib.suppress(ValueError):
            owner.kill()


def processes_in(directory):
    """The processes whose working directory that is."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.cwd() == str(directory):
                found.append(process)
    return found


def wait_until_empty(directory, seconds=10):
    deadline = time.monotonic() + seconds
    while processes := processes_in(directory):
        assert time.monotonic() < deadline, f"still there: {processes}"
        time.sleep(0.02)
