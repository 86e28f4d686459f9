"""What a process pays once so that the tasks it forks do not: see `airflow_local_settings`."""

from __future__ import annotations

import importlib
import logging

logger = logging.getLogger(__name__)


def warm() -> None:
    """Import the heavy libraries and let the pipeline prepare; a failure costs speed alone, so it is logged."""
    for name in ("great_expectations", "dbt.cli.main", "dbt.adapters.postgres", "interlock.pipeline.warm"):
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError:
            logger.warning("Tasks will start cold: %s is not installed.", name)
            continue
        if name == "interlock.pipeline.warm":
            try:
                module.warm()
            except Exception:
                logger.exception("Tasks will start cold: the pipeline could not be prepared.")
