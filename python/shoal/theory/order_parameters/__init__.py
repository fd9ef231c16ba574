"""Classes of many points, through a few order parameters."""
