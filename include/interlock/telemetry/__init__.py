"""What machines watch: the state of the platform as numbers, in Prometheus' words and base units."""
