"""What decides: sessions, channels, the hub and limits. No await, no clock, no randomness, no I/O."""
