"""Adapting a checkpoint to a region with LoRA."""
