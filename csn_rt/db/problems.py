"""A database that cannot be had, in a sentence for an operator."""

import asyncpg

DATABASE_PROBLEMS = (
    OSError,
    TimeoutError,
    ValueError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
"""What connecting raises, and what a connection raises that is being lost."""


def describe_database_problem(exc: Exception) -> str:
    if isinstance(exc, TimeoutError):
        return "PostgreSQL does not answer in time."
    return f"PostgreSQL cannot be used: {exc}."
