"""How good a forecast is: scores, what it must beat, and a report that can be sent on."""
