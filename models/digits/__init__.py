"""Handwritten digits: a small convolutional network on the 8 x 8 images that scikit-learn brings along."""
