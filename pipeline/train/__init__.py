"""Where a network comes from: trained or loaded, in its own framework; its weights and its answers to every probe."""
