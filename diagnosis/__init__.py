"""What this machine has, and what is missing for the chain to run: `showdown doctor`.

Imports no framework and no runtime: each is started in a process of its own, where it may break as it likes.
"""
