"""Each change of effective routing, on record before it is in force."""
