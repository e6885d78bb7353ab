"""Parity: whether a sequence of any length has an odd number of ones, told by a recurrent network."""
