"""Every fault of the example's library, applied to real days through the real chain; `python -m tests.faults`."""
