"""Parity: the same inputs through both sides of a hop, and the numbers held against each other."""
