"""The domains of `include/domains.yaml`: when each one's pipeline runs, and over which days."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from interlock.errors import PermanentFailure
from interlock.settings import settings


class Domain(BaseModel):
    """The schedule of one domain's pipeline. What is missing is waited for `retries` times `retry_every`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    description: str
    schedule: str
    start: date
    end: date | None = None
    retries: int = 6
    retry_every: timedelta = timedelta(seconds=30)


def load_domains(path: Path | None = None) -> dict[str, Domain]:
    """Every domain by name. Raises PermanentFailure with all problems of the file at once."""
    file = path or settings().root / "include" / "domains.yaml"
    try:
        return TypeAdapter(dict[str, Domain]).validate_python(yaml.safe_load(file.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise PermanentFailure(
            f"{file} cannot be read: {error}", fix="Mend what is named; docs/contracts.md shows the form."
        ) from error
