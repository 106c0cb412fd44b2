"""Offline coupling: the composition 12 h further, from what it is now and a given weather forecast."""
