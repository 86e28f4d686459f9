"""The DAGs of this checkout, parsed once as the DAG processor does; no database and no process of Airflow's."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from interlock.settings import settings

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def dag_bag(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DagBag]:
    """All DAGs; Airflow is imported with a home of its own, so that it neither reads nor writes the user's."""
    home = tmp_path_factory.mktemp("airflow")
    with pytest.MonkeyPatch.context() as environment:
        for name in [name for name in os.environ if name.startswith(("AIRFLOW_", "INTERLOCK_"))]:
            environment.delenv(name)
        environment.setenv("AIRFLOW_HOME", str(home))
        environment.setenv("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
        environment.setenv("AIRFLOW__CORE__PLUGINS_FOLDER", str(ROOT / "plugins"))
        environment.setenv("INTERLOCK_STATE_DIR", str(home / "state"))
        settings.cache_clear()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Airflow's own, at its import
            from airflow.dag_processing.dagbag import DagBag
        yield DagBag(dag_folder=str(ROOT / "dags"), safe_mode=False)
    settings.cache_clear()
