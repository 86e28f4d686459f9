"""Imported by every Airflow process from the `config` folder of its home: here the warm start happens.

Importing Great Expectations and dbt costs a task 10 to 15 seconds of a small machine, and every task is a
fork of the scheduler (LocalExecutor) or of a Celery worker. What is imported in that process is there in
all its forks for nothing. Every other process of Airflow skips this, and so starts as fast as before.
"""

import sys


def _warm() -> None:
    from interlock.operators import warm_start

    warm_start.warm()


if "scheduler" in sys.argv or {"celery", "worker"} <= set(sys.argv):
    _warm()
