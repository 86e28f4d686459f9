"""The spine: datasets and contracts, runs, versions, safety, publishing, and the rights on them."""

from __future__ import annotations

from alembic import op

from interlock.db.connection import statement

revision = "0001"
down_revision = None

FILES = ("02_registry", "03_runs", "04_versions", "05_safety", "06_publish", "07_rights")


def upgrade() -> None:
    """Run the files in order, as the schema's owner."""
    connection = op.get_bind().connection.driver_connection
    for file in FILES:
        connection.execute(statement(f"db/migrations/sql/{file}.sql").encode())


def downgrade() -> None:
    """Refused: the platform's records are appended to, never taken back."""
    raise NotImplementedError("Interlock's schema has no way back; restore a backup into a new database instead.")
