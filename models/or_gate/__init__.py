"""The OR gate of the blog post "Neural Network Showdown: TensorFlow Vs PyTorch"."""
