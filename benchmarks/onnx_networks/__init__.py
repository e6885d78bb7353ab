"""Real networks from PyTorch and scikit-learn, through the converter: parity, built-in operators, time."""
