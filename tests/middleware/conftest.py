"""The same servers as the tests of access have."""

from tests.access.conftest import database_path, serve, token_of, two_dictionaries

__all__ = ["database_path", "serve", "token_of", "two_dictionaries"]
