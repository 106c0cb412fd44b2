"""From a prepared store and a checkpoint to 1 km PM2.5 maps."""
