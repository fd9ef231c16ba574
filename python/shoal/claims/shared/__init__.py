"""What several claims share: runs and flows, arrivals and exponents, conditions of wide networks, limits."""
