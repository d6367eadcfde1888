"""What tests, courses and testers use: the oracle, random programs, and a reference for expressions."""
