"""Tells Airflow of the platform's timetable, which it would refuse in a DAG otherwise."""

from airflow.plugins_manager import AirflowPlugin

from interlock.operators.timetables import DaysOfDomain


class InterlockPlugin(AirflowPlugin):
    """Registers; holds no logic."""

    name = "interlock"
    timetables = [DaysOfDomain]  # noqa: RUF012  (the attribute that Airflow reads)
