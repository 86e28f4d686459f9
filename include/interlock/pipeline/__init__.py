"""The one chain from landing to curated that the orchestrator and the command line share."""
