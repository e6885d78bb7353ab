"""Saving and loading networks as the frameworks do it: weights alone, and whole models."""
