"""Sockets and HTTP in, replies out; the table of operations and the node that carries them."""
