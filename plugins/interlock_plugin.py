"""Tells Airflow of the platform: its timetable, its page in the navigation, and its API below `/interlock`.

Every process of Airflow loads this, and none of them reads it again: nothing here is made before it is asked for.
"""

from airflow.plugins_manager import AirflowPlugin

from interlock.operators.mounting import ICON, PREFIX, ROUTE, Mounted, page_source
from interlock.operators.timetables import DaysOfDomain


class InterlockPlugin(AirflowPlugin):
    """Registers; holds no logic."""

    name = "interlock"
    timetables = [DaysOfDomain]  # noqa: RUF012  (the attributes that Airflow reads)
    fastapi_apps = [{"name": "Interlock", "app": Mounted(), "url_prefix": PREFIX}]  # noqa: RUF012
    external_views = [  # noqa: RUF012
        {
            "name": "Interlock",
            "href": page_source(),
            "url_route": ROUTE,
            "destination": "nav",
            "nav_top_level": True,
            "icon": ICON,
        }
    ]
