"""
# Maintenance

**What.** Every five minutes: carries out the queued rebuilds (whatever was built from an input that
has been replaced since), renews the leases of datasets whose served versions are intact, and tells
owners what they have not been told yet.

**When it is red.** A rebuild was blocked: the log names the partitions, which stay unsafe. It is tried
again a few times, and then left to a person: rerun the partition, or `interlock rebuild`.

**What a rerun does.** The same again; with nothing queued it does nothing.
"""

from datetime import UTC, datetime, timedelta

from airflow.sdk import dag, task

BY = "airflow:maintenance"


@dag(
    dag_id="interlock_maintenance",
    description="Carries out queued rebuilds, renews leases, tells owners.",
    doc_md=__doc__,
    schedule="*/5 * * * *",
    start_date=datetime(2013, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    tags=["interlock"],
)
def maintenance() -> None:
    @task(execution_timeout=timedelta(hours=2))
    def rebuild() -> list[str]:
        from interlock.recovery import rebuilds

        return rebuilds.require_complete(rebuilds.carry_out(BY))

    @task
    def renew_and_tell() -> None:
        from interlock.safety import leases, notices

        leases.renew(BY)
        notices.drain()

    # Two leaves: a failed rebuild must be seen, and must not hold up the leases.
    rebuild()
    renew_and_tell()


maintenance()
