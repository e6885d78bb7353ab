"""What every step and every device agrees on: tensors, models, golden vectors, versions on disk, errors."""
