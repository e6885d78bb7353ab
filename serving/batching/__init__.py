"""Several requests in one run: parameters, queues, merging and splitting of tensors."""
