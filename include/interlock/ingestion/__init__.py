"""Landing to raw: deliveries are found, held against their contract, and appended as loads for the gate to judge."""
