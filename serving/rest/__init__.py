"""The REST face: HTTP, routes, JSON in and out."""
