"""The demo: servers of its own, sample data, nodes, a worker and viewers that chat."""
