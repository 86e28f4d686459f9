"""What the control DAG does every minute, one function for each of its tasks."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from interlock import services
from interlock.errors import PermanentFailure

if TYPE_CHECKING:
    from interlock.airflow_rest import Airflow

logger = logging.getLogger(__name__)


def take_further() -> list[str]:
    """Take every action further that can go further, look for recalls, let the rules answer what they have not yet, and
    tell owners of all that.

    Raises what kept a feed's recalls from being looked for, after all else is done: what is served of it may be bad.
    """
    from interlock.control import actions, pauses, rules
    from interlock.operators.actions import actor_of
    from interlock.recovery import recalls
    from interlock.safety import notices

    by = actor_of(pauses.CONTROL)
    moved = actions.sweep(by)
    hindrances = recalls.look(by)
    moved += rules.react(by)
    told = [f"action {action.action_id}, {action.title}: {action.state}" for action in moved]
    for line in told:
        logger.info(line)
    notices.drain()
    if hindrances:
        raise hindrances[0]
    return told


def tell_airflow() -> list[str]:
    """Have Airflow show what holds in the platform: what is paused, and which actions wait for people."""
    from interlock.operators import approvals

    return mirror_pauses() + approvals.ask_people(airflow())


def mirror_pauses() -> list[str]:
    """Set Airflow's pauses as the platform's are; what was found, mended or left as somebody meant it."""
    from interlock.control import pauses

    found = pauses.mirror(airflow())
    for difference in found:
        if difference.set_to is None:
            logger.warning("%s %s", difference.pipeline, difference.found)
    return [f"{difference.pipeline} {difference.found}" for difference in found]


def airflow() -> Airflow:
    """Airflow as the platform calls it. Raises PermanentFailure where nobody said where it is."""
    found = services.reachable()
    if found is None:
        raise PermanentFailure(
            "The platform does not know where Airflow's API is.",
            fix="Set INTERLOCK_AIRFLOW_URL, and INTERLOCK_AIRFLOW_USER and _PASSWORD where the login is another.",
        )
    return found
