"""SQL over the leaderboard: DuckDB in memory, which can neither write nor reach anything outside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.errors import UserError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

#: Statements that only read, by DuckDB's names; DESCRIBE, SHOW and SUMMARIZE are of the kind SELECT.
_READING = frozenset({"SELECT", "EXPLAIN"})

#: Nothing is spilled to disk, read from files or taken from this program's variables; the last one makes it final.
_SEALED = (
    "temp_directory = ''",
    "TimeZone = 'UTC'",
    "python_enable_replacements = false",
    "enable_external_access = false",
    "lock_configuration = true",
)


def ask(query: str, leaderboard: pa.Table, published: pd.DataFrame) -> pd.DataFrame:
    """Answers one query.

    Args:
        query: One statement that reads.
        leaderboard: All rows; the table ``leaderboard``.
        published: The papers' numbers; the table ``published``.

    Raises:
        UserError: For a statement that would write or reach outside, more than one, or an error in the SQL.
    """
    import duckdb
    import pyarrow as pa

    from orchestrator.leaderboard import rows

    with duckdb.connect(":memory:") as connection:
        tables = {"leaderboard": leaderboard, "published": pa.Table.from_pandas(published, preserve_index=False)}
        for name, table in tables.items():
            connection.register("loading", table)
            connection.execute(f"CREATE TABLE {name} AS SELECT * FROM loading")
            connection.unregister("loading")
        for setting in _SEALED:
            connection.execute(f"SET {setting}")
        try:
            statements = connection.extract_statements(query)
            if len(statements) != 1:
                raise UserError(f"one query at a time; this is {len(statements)} statements")
            kind = statements[0].type.name
            if kind not in _READING:
                raise UserError(f"{kind} is refused: the leaderboard is read-only here; ask with SELECT")
            found = connection.sql(statements[0]).to_arrow_table()
        except duckdb.Error as error:
            raise UserError(f"SQL: {error}") from error
    return rows.to_pandas(found)
