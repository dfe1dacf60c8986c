"""The arguments of each verb: one module per verb, so that help and wrong words need no PyTorch."""
