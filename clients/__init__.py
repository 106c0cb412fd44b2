"""Federated adaptation: the Flower app, the coordinator and the agencies."""
