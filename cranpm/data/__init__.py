"""Products, the store made from them, and the days asked for."""
