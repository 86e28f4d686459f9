"""
# Maintenance

**What.** Every five minutes: carries out the queued rebuilds (whatever was built from an input that
has been replaced since), renews the leases of datasets whose served versions are intact, and tells
owners what they have not been told yet.

**What a rerun does.** The same again; with nothing queued it does nothing.
"""

from datetime import UTC, datetime

from airflow.sdk import dag, task


@dag(
    dag_id="interlock_maintenance",
    doc_md=__doc__,
    schedule="*/5 * * * *",
    start_date=datetime(2013, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    tags=["interlock"],
)
def maintenance() -> None:
    @task
    def rebuild() -> list[str]:
        from interlock.recovery.rebuilds import carry_out

        return [
            f"{r.domain} {' '.join(r.partitions)}: {len(r.blocked)} blocked" for r in carry_out("airflow:maintenance")
        ]

    @task
    def renew_and_tell() -> None:
        from interlock.safety import leases, notices

        leases.renew("airflow:maintenance")
        notices.drain()

    # Two leaves: a failed rebuild must be seen, and must not hold up the leases.
    rebuild()
    renew_and_tell()


maintenance()
