"""Which reader a store's address asks for.

A reader's packages are imported when it is chosen.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from analysis.stores import Store
from analysis.stores.sqlite import open_sqlite, sqlite_file
from trainer.errors import ConfigError


def open_store(uri: str) -> Store:
    """A reader that never creates what it was asked to read: MLflow makes a new database of any SQLite path."""
    file = sqlite_file(uri)
    if file is not None and not file.is_file():
        raise ConfigError(f"no MLflow store at {file}: run a sweep first, or give --runs-dir or --tracking-uri")
    direct = open_sqlite(file) if file is not None else None
    if direct is not None:
        return direct
    if uri.startswith(("http://", "https://")):
        from analysis.stores.server import ServerStore

        return ServerStore(uri)
    from analysis.stores.client import ClientStore  # MLflow takes seconds to import

    return ClientStore(uri)


@contextmanager
def readable(uri: str) -> Iterator[None]:
    """What a store raises becomes one line."""
    try:
        yield
    except _store_errors() as error:
        raise ConfigError(f"the MLflow store {uri} cannot be read: {str(error).splitlines()[0]}") from error


def _store_errors() -> tuple[type[Exception], ...]:
    """Of the readers that were used: the packages of the others are not even imported."""
    errors: list[type[Exception]] = [sqlite3.DatabaseError]
    names = {
        "adbc_driver_manager": "Error",
        "requests": "RequestException",
        "mlflow.exceptions": "MlflowException",
    }
    errors += [getattr(sys.modules[module], name) for module, name in names.items() if module in sys.modules]
    return tuple(errors)
