"""Which versions are served: the source that finds them, the manager that loads and unloads them."""
