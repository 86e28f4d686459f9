"""What Interlock costs, as ratios to the same work as bare SQL, measured in one run: `make bench`."""
