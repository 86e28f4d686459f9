"""Prints the API's description, which the page's types are made from: `python -m interlock.api.openapi`."""

from __future__ import annotations

import json
import sys

from interlock.api.app import create_app

if __name__ == "__main__":
    json.dump(create_app().openapi(), sys.stdout, indent=2)
