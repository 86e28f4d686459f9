"""Interlock: data that is safe to act on, or says that it is not."""
