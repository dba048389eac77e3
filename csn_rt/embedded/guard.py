"""Runs one server and ends it when whoever started it is gone. A program of its own: nothing else is loaded.

    guard.py <user id> <group id> <grace in seconds> <gentle signal> <hard signal> <scratch dir> <command …>

Rule 1: the guard's standard input is a pipe held by its parent. However the parent ends (kill -9 included),
        the pipe ends with it, and the server is asked to stop: gently, then hard, then with SIGKILL.
Rule 2: the guard ends with its server, has its exit status, and removes the scratch directory.
Rule 3: the guard leads a session of its own, so that Ctrl-C at a terminal reaches the parent only.

A pipe and not PR_SET_PDEATHSIG: that is Linux only, is forgotten when credentials change, and fires when the
*thread* that forked ends. What a pipe cannot cover is kill -9 of the guard itself; the next start finds that
leftover.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time


def main(arguments: list[str]) -> None:
    user, group, grace_s, gentle, hard = (int(argument) for argument in arguments[:5])
    scratch, command = arguments[5], arguments[6:]
    changes_user = user != os.geteuid()
    server = subprocess.Popen(  # noqa: S603  the command is the parent's own
        command,
        stdin=subprocess.DEVNULL,
        user=user if changes_user else None,
        group=group if changes_user else None,
        extra_groups=[] if changes_user else None,
    )
    threading.Thread(target=end_with, args=(server, scratch), daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: stop(server, grace_s, gentle, hard))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdin.buffer.read()
    stop(server, grace_s, gentle, hard)


def end_with(server: "subprocess.Popen[bytes]", scratch: str) -> None:
    status = server.wait()
    shutil.rmtree(scratch, ignore_errors=True)
    os._exit(status & 0xFF)


def stop(server: "subprocess.Popen[bytes]", grace_s: int, *signals: int) -> None:
    """Never returns: the waiting thread ends the process when the server is gone."""
    for number in (*signals, signal.SIGKILL):
        server.send_signal(number)
        time.sleep(grace_s)
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
