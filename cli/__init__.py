"""The `showdown` command: one thin function a verb."""
