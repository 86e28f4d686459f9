"""Getting back to safe: queued rebuilds now, engineered backfills and reconciliation later."""
