"""A data set's rows: read, chosen, and put on the device for training.

Only `examples` and `target_scale` import torch: which rows a job trains on is also
worked out where there is none.
"""
