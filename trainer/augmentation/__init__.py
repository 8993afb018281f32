"""Changes of whole batches on the device; what is drawn is drawn for every row."""
