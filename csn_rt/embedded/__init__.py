"""Local PostgreSQL and Redis for the demo and the tests; an optional extra."""
