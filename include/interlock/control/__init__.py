"""What may be done to data, by whom, and with whose approval: the policy that every control action asks first."""
