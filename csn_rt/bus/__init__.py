"""What is only speed: events between nodes and viewer leases, on Redis or in memory."""
