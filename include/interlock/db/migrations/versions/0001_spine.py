"""The spine: datasets and contracts, runs, versions, safety, publishing, and the rights on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic import op

from interlock.db.connection import statement

if TYPE_CHECKING:
    from interlock.db.connection import Connection

revision = "0001"
down_revision = None

FILES = (
    "02_registry",
    "03_runs",
    "04_versions",
    "05_candidates",
    "06_safety",
    "07_causes",
    "08_publish",
    "09_rights",
    "10_activation",
    "11_ledger",
    "12_maintenance",
    "13_row_quarantine",
    "14_audit",
    "15_retirement",
    "16_radius",
    "17_actions",
    "18_effects",
    "18_pipeline_effects",
    "19_waivers",
    "20_credentials",
    "21_policy",
    "22_findings",
    "23_airflow_pauses",
    "24_action_notices",
    "25_answers",
    "26_reliance",
    "27_feed",
    "28_telemetry",
    "29_differences",
    "30_ranges",
    "31_grid",
)


def upgrade() -> None:
    """Run the files in order, as the schema's owner."""
    connection: Connection = op.get_bind().connection.driver_connection  # type: ignore[assignment]
    for file in FILES:
        connection.execute(statement(f"db/migrations/sql/{file}.sql").encode())


def downgrade() -> None:
    """Refused: the platform's records are appended to, never taken back."""
    raise NotImplementedError("Interlock's schema has no way back; restore a backup into a new database instead.")
