"""The button *Interlock* on a task: from a run in Airflow to the view of the page that shows what it was about.

Only on tasks that are about something there. Airflow keeps the address when the task ends, however it ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseOperatorLink

from interlock.operators.mounting import page_address

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

NAME = "Interlock"


class PartitionLink(BaseOperatorLink):
    """Of a task that asked: the first partition that it asked for."""

    name = NAME

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002
        """Its address, at the platform that was asked."""
        asking = getattr(operator, "asking", None)
        question = asking and asking.question
        if question is None:
            return page_address()
        return page_address("dataset", question.dataset, question.partitions[0], served_at=question.url)


class DomainLink(BaseOperatorLink):
    """Of a phase: its domain's rows of the matrix."""

    name = NAME

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002
        """Its address."""
        return page_address(domain=operator.domain)  # type: ignore[attr-defined]


class ActionLink(BaseOperatorLink):
    """Of a task that proposed an action: that action."""

    name = NAME

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002
        """Its address; the list of them where it proposed none."""
        action = getattr(operator, "action_id", None)
        return page_address("action", *([str(action)] if action else []))
