"""Live streams: their start and end, who watches them, and how many."""
