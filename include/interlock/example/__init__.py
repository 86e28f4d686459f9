"""The example that ships: the only room that knows what a flight is. A fork deletes it with the two domains."""
