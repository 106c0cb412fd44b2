"""Signed bundles for machines without torch."""
