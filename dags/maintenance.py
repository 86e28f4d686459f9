"""
# Maintenance

**What.** Every five minutes: carries out the queued rebuilds (whatever was built from an input that
has been replaced since, and every earlier day for which something was delivered late), renews the
leases of datasets whose served versions are intact, tells owners what they have not been told yet,
anchors the audit outside the database, and sets Airflow's pauses as the platform's are (the DAGs of
control are never paused). Once a day it prunes what outlived its retention (`INTERLOCK_KEEP_*`) and
nothing needs any more.

**When it is red.** A rebuild was blocked: the log names the partitions, which stay unsafe. It is tried
again a few times, and then left to a person: rerun the partition, or `interlock rebuild`. A red `prune`
has harmed nothing: what it began, the next one ends; `interlock maintain --dry-run` shows what is in its way.

**What a rerun does.** The same again; with nothing queued it does nothing.
"""

from datetime import UTC, datetime, timedelta

from airflow.sdk import dag, task

BY = "airflow:maintenance"


@dag(
    dag_id="interlock_maintenance",
    description="Carries out queued rebuilds, renews leases, tells owners, prunes once a day.",
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
        from interlock.control import audit
        from interlock.safety import leases, notices

        leases.renew(BY)
        notices.drain()
        audit.anchor()

    @task(execution_timeout=timedelta(hours=1))
    def prune() -> list[str]:
        from interlock.cli.maintaining import lines
        from interlock.recovery import maintenance

        return lines(maintenance.maintain(BY)) if maintenance.is_due() else []

    @task
    def mirror_pauses() -> list[str]:
        from interlock import services
        from interlock.operators import sweeping

        # The control DAG does this every minute, unless somebody paused it; where Airflow is not known, it is red.
        return sweeping.mirror_pauses() if services.reachable() else []

    # Leaves all of them: a failed rebuild must be seen, and must not hold up the leases.
    rebuild()
    renew_and_tell()
    prune()
    mirror_pauses()


maintenance()
