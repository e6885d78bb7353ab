"""Training: a module's ``train(seed)`` in its own framework, its weights and its answers to every probe."""
