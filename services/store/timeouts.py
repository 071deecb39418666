"""How long anything waits for a database, in seconds."""

from __future__ import annotations

BUSY_TIMEOUT = 5.0  # that a writer waits for another transaction, and a thread for a connection
STATEMENT_TIMEOUT = 4.0  # after which PostgreSQL itself gives a statement up
ANSWER_TIMEOUT = 5.0  # for one statement, where the server says nothing; more than its own limit
CONNECT_TIMEOUT = 2  # for each address of the server, the least that libpq knows
PING_TIMEOUT = 1.0  # for the sign of life of an idle connection, before it is used again
