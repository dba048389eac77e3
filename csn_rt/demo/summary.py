"""What the demo tells the person who started it, on one screen."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from csn_rt.demo.seed import Programme


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to tell about."""

    nodes: Sequence[str]
    """Addresses, e.g. http://127.0.0.1:8000."""
    data_dir: Path
    bots: int
    programme: Programme
    tokens: Mapping[str, str]
    """By the name that a shell would call them."""
    token_days: int


def describe(running: Running) -> str:
    node, stream = running.nodes[0], running.programme.stream_id or "none"
    message = f"""{{"stream_id": "{stream}", "text": "hello from curl", "client_id": "'$RANDOM'"}}"""
    headers = "-H \"Authorization: Bearer $FAN\" -H 'Content-Type: application/json'"
    lines = [
        "",
        "The csn_rt demo is on; Ctrl-C stops everything.",
        "",
        *(f"  node {number}   {address}" for number, address in enumerate(running.nodes, 1)),
        f"  socket   {node.replace('http', 'ws', 1)}/connection/websocket",
        f"  stream   {stream}, {running.bots} bots watch and chat",
        f"  data     {running.data_dir} (database, secret, a log of every process)",
        "  The three videos are rows without films: their playback addresses lead nowhere.",
        "",
        f"Tokens, good for {running.token_days} days on this data; paste them into another terminal:",
        "",
        *(f"{name}={token}" for name, token in running.tokens.items()),
        "",
        "and try there, in the checkout:",
        "",
        f"curl -s {node}/v1/chat.send {headers} -d '{message}'",
        f'node docs/examples/player.mjs {node} "$FAN"                # after: npm install centrifuge ws',
        f'.venv/bin/python docs/examples/player.py {node} "$FAN"     # after: pip install centrifuge-python',
        "",
    ]
    return "\n".join(lines)
