"""The coarse composition: sharpening the reanalysis in time and space."""
