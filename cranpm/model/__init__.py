"""The network of CRAN-PM: configurations, the network itself, checkpoints and their registry."""
