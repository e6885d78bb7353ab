"""From verified networks to files that are shipped: SavedModels for TF Serving, TFLite for devices, the report."""
