"""The same servers as the tests of access have."""

from tests.access.conftest import database, database_path, serve, token_of, two_dictionaries, two_in_postgresql

__all__ = ["database", "database_path", "serve", "token_of", "two_dictionaries", "two_in_postgresql"]
